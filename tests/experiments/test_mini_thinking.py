"""Figures of a thinker, from answers that are written out here, and on a simulated model."""

from __future__ import annotations

import random
from math import isnan

import pytest
from rich.console import Console

from experiments.mini.about import about, write
from experiments.mini.cards import made_of
from experiments.mini.config import Thinking
from experiments.mini.evaluate_thinking import FIGURES, Plan, measure
from experiments.mini.figures import place_of
from experiments.mini.tables import OF_A_THINKER
from experiments.mini.thinking_figures import (
    cut_text,
    lengths,
    read_answer,
    rechecks,
    redundancy,
    spread,
)
from experiments.mini.tokenizer import END
from experiments.mini.traces import trace
from tts.backends.simulated import SimulatedBackend, Step
from tts.evaluation.progress import Display
from tts.tasks.mini_problems import generate
from tts.types import ModelInfo

PLAIN = "<think>4+3=7 => 7+2\n\n7+2=9\n\n</think>\\boxed{9}"
DOUBTS = "<think>4+3=8 => 8+2\n\nWait 4+3=7 => 7+2\n\n7+2=9\n\nWait 7+2=9\n\n</think>\\boxed{9}"


@pytest.mark.parametrize("level", [1, 3, 6])
def test_a_trace_is_read_back_as_it_was_made(level):
    for index in range(40):
        problem = generate(level, index, "train")
        made = trace(problem, Thinking(dose=2.0, cuts=0.0), random.Random(index))
        read = read_answer(made.text.removesuffix(END))
        assert read.pieces == made.pieces
        assert read.tokens == made.thinking_tokens == read.ends[-1]
        assert read.answer == made.answer
        assert read.known is not None


def test_tokens_and_the_place_of_the_answer():
    read = read_answer(PLAIN)
    assert (read.ends, read.tokens, read.known, read.answer) == ((10, 16), 16, 16, "9")
    doubted = read_answer(DOUBTS)
    assert doubted.tokens == 10 + 12 + 6 + 8
    assert doubted.known == 28


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>4+3=7\n\n</think>", None),
        ("<think>4+=7\n\nWait", None),
        ("\\boxed{3}", "3"),
        ("", None),
    ],
)
def test_what_is_malformed_has_no_known_answer(text, answer):
    read = read_answer(text)
    assert read.answer == answer and read.known is None


def test_an_operation_is_right_or_not():
    pieces = read_answer("<think>5-9=4\n\n12*3=36 => 36+1\n\n1+1+1=3\n\n99-99=0\n\n").pieces
    assert [piece and piece.right for piece in pieces] == [False, True, None, True]


def test_what_comes_after_the_answer_is_redundant():
    answers = {"mini-test-1-0": [read_answer(PLAIN)], "mini-test-2-0": [read_answer(DOUBTS)]}
    found = redundancy(answers)
    assert found["1"][0] == 0.0
    assert found["2"][0] == pytest.approx(8 / 36)
    assert lengths(answers)["all"]["mean"] == 26.0
    assert spread({"mini-test-1-0": [read_answer(PLAIN), read_answer(DOUBTS)]}) == 36 / 16


def test_rechecks_are_counted_by_what_they_meet():
    kept = "<think>4+3=8 => 8+2\n\n8+2=10\n\nWait 4+3=8 => 8+2\n\n8+2=10\n\n</think>\\boxed{10}"
    found = rechecks({"mini-test-1-0": [read_answer(DOUBTS)], "mini-test-1-1": [read_answer(kept)]})
    assert found["slips"][0] == 3 / 8
    assert found["looked at"][0] == 2 / 3  # the re-check that is wrong again is not looked at
    assert found["repaired"][0] == found["kept"][0] == 1 / 2
    assert found["needless"][0] == 1 / 5
    assert found["spoiled"][0] == 0.0
    plain = [read_answer(PLAIN)]
    nothing = rechecks({"mini-test-1-0": plain, "mini-test-1-1": plain})
    assert isnan(nothing["repaired"][0]) and nothing["slips"][0] == 0.0


def test_a_text_is_cut_between_tokens():
    assert cut_text(PLAIN, 0.0) == "<think></think>\\boxed{"
    assert cut_text(PLAIN, 0.5) == "<think>4+3=7 => 7+</think>\\boxed{"
    assert cut_text(PLAIN, 1.0) == "<think>4+3=7 => 7+2\n\n7+2=9\n\n</think>\\boxed{"


PLAN = Plan(problems=3, samples=2, cuts=(0.0, 1.0))
DOUBTFUL = Thinking(dose=1.5, cuts=0.0, longest=250)  # a character is a token in a simulation


def think(problem, node, seed):
    """A model that thinks as traces do, and answers as soon as the answer stands there."""
    level, index, split = place_of(problem.id)
    mini = generate(level, index, split)
    if node.text:
        known = f"={mini.answer}\n\n" in node.text
        text = f"{mini.answer if known else 'x'}}}"
    else:
        text = trace(mini, DOUBTFUL, random.Random(seed)).text.removesuffix(END)
    return Step(text, len(text))


async def test_a_thinker_is_measured(tmp_path):
    model = ModelInfo("thinker", active_params=1000, context=4096)
    backend = SimulatedBackend(think, model)
    with Display(Console(quiet=True)) as display:
        found = await measure(PLAN, backend, tmp_path, display)
        assert await measure(PLAN, backend, tmp_path, display) == found
    assert {name: figure["all"][0] for name, figure in found["levels"].items()} == {
        "pass@1": 1.0, "greedy": 1.0, "majority@2": 1.0, "pass@2": 1.0, "well-formed": 1.0,
    }  # fmt: skip
    assert found["cuts"]["0%"]["all"][0] == 0.0 and found["cuts"]["100%"]["all"][0] == 1.0
    assert found["redundancy"]["all"][0] > 0.1
    assert found["rechecks"]["looked at"][0] == found["rechecks"]["repaired"][0] == 1.0
    assert found["rechecks"]["spoiled"][0] < 1.0


async def test_the_tables_of_a_card(tmp_path):
    backend = SimulatedBackend(think, ModelInfo("thinker", active_params=1000, context=4096))
    with Display(Console(quiet=True)) as display:
        found = await measure(PLAN, backend, tmp_path, display)
    write(tmp_path / FIGURES, {"about": about("0" * 64), **found})
    made = made_of(tmp_path / FIGURES)
    assert set(made) == set(OF_A_THINKER)
    assert len(made["lengths"].splitlines()) == 2 + 7 + 2
    assert made["cuts"].splitlines()[0] == "| level | 0% | 100% |"
    assert "of these re-checks, right | 1.000" in made["rechecks"]
