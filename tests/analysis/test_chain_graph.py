"""The graph of a chain, by hand and against worked solutions whose slips are known."""

from __future__ import annotations

import random
from dataclasses import replace

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.mini.config import SIZES
from experiments.mini.traces import trace
from tests.analysis.thoughts import (
    CHANGED,
    CORRECTED,
    DOUBTING,
    STEPS,
    TWO_WAYS,
    chain,
    thought,
)
from tts.analysis import ANSWER, PROBLEM, failed_fraction, failed_steps, step_graph
from tts.tasks.mini_problems import generate


def edges(text, answer="66"):
    return {(a, b): kind for a, b, kind in step_graph(chain(text, answer)).edges.data("kind")}


def test_a_recheck_points_to_what_it_rechecks():
    assert edges(DOUBTING) == {
        (0, PROBLEM): "follows",
        (1, 0): "follows",
        (2, 1): "confirms",
        (3, 2): "follows",
        (4, 3): "confirms",
        (ANSWER, 3): "concludes",
        (ANSWER, 4): "concludes",
    }
    assert failed_fraction(chain(DOUBTING)) == 0


def test_what_is_taken_back_has_failed():
    assert edges(CORRECTED) == {
        (0, PROBLEM): "follows",
        (1, 0): "follows",
        (2, PROBLEM): "follows",
        (2, 0): "corrects",
        (3, 2): "follows",
        (4, 3): "follows",
        (ANSWER, 4): "concludes",
    }
    assert failed_steps(step_graph(chain(CORRECTED))) == [0, 1]
    assert failed_fraction(chain(CORRECTED)) == pytest.approx(2 / 5)


def test_a_change_of_mind_starts_a_branch_where_its_sum_was_to_be_done():
    found = edges(CHANGED)
    assert found[2, 0] == "follows" and (2, 1) not in found
    assert failed_steps(step_graph(chain(CHANGED))) == [1]


def test_a_branch_that_had_come_to_the_answer_has_not_failed():
    assert failed_steps(step_graph(chain(TWO_WAYS))) == []


def test_another_way_from_nowhere_starts_at_the_problem():
    text = thought("Let x be the price.", "Then x is 5.", "Alternatively, add both.", "It is 7.")
    assert edges(text, "7")[2, PROBLEM] == "follows"
    assert failed_steps(step_graph(chain(text, "7"))) == [0, 1]


def test_an_early_recheck_keeps_what_came_between():
    text = thought("6*8=48 => 48+1+2", "48+1=49 => 49+2", "Wait 6*8=48 => 48+1+2", "49+2=51")
    assert edges(text, "51")[2, 0] == "confirms" and edges(text, "51")[2, 1] == "follows"
    assert failed_steps(step_graph(chain(text, "51"))) == []


def test_without_an_answer_the_last_state_counts():
    text = thought("6*8=58 => 1+58", "Wait 6*8=48 => 1+48")
    assert edges(text, None)[ANSWER, 1] == "concludes"
    assert failed_steps(step_graph(chain(text, None))) == [0]


def test_an_empty_chain_has_a_graph():
    assert edges("<think></think>3", "3") == {(ANSWER, PROBLEM): "concludes"}
    assert failed_fraction(chain("<think></think>3", "3")) == 0


@given(STEPS, st.sampled_from([None, "66", "12", "7"]))
def test_graphs_have_no_cycles_and_all_rest_on_the_problem(steps, answer):
    found = chain(thought(*steps), answer)
    graph = step_graph(found)
    assert nx.is_directed_acyclic_graph(graph)
    assert set(graph) == {ANSWER, PROBLEM, *range(len(found.steps))}
    assert nx.ancestors(graph, PROBLEM) == set(graph) - {PROBLEM}
    assert 0 <= failed_fraction(found) < 1 or not found.steps


@pytest.mark.parametrize("seed", range(60))
def test_slips_fail_and_with_no_redundancy_nothing_else_does(seed):
    """A worked solution is taken back from a slip to the re-check that puts it right."""
    problem = generate(1 + seed % 6, seed, "train")
    settings = replace(SIZES["thinker"].thinking, dose=0.0, slips=0.4, cuts=0.0)
    drawn = trace(problem, settings, random.Random(seed))
    lost, failed = False, []
    for number, piece in enumerate(drawn.pieces):
        lost = not piece.right or (lost and not piece.opening)
        failed += [number] * lost
    graph = step_graph(chain(drawn.text, drawn.answer))
    assert failed_steps(graph) == failed


@pytest.mark.parametrize("seed", range(60))
def test_slips_fail_however_redundant_the_chain(seed):
    problem = generate(1 + seed % 6, seed, "train")
    settings = replace(SIZES["thinker"].thinking, dose=3.0, slips=0.2, cuts=0.0)
    drawn = trace(problem, settings, random.Random(seed))
    slips = {number for number, piece in enumerate(drawn.pieces) if not piece.right}
    assert slips <= set(failed_steps(step_graph(chain(drawn.text, drawn.answer))))
