"""Answers compared two by two: no liking for a place, the winner of hand-worked tournaments."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tts
from tests.verifiers.asked import CHAT, PLAIN, Teacher, candidate, logs
from tts.backends.simulated import SimulatedBackend, Step
from tts.budget import Budget
from tts.errors import ConfigError, VerifierError
from tts.types import Capability, Problem
from tts.verifiers import Tournament
from tts.verifiers.tournament import pairings

OUT = float("-inf")
STRENGTH = {"six": 6, "three": 3, "one": 1, "two": 2}


def shown(text):
    """The two solutions that a judge is shown."""
    return re.search(r"Solution A:\n(.*)\n\nSolution B:\n(.*)\n\n", text).groups()


def likes(bias=0.0):
    """Prefers by strength, and the first place by a bias on top of it."""

    def says(text, seed):
        a, b = (STRENGTH[solution.split()[-1]] for solution in shown(text))
        chance = a / (a + b) + bias
        return logs(A=0.9 * chance, B=0.9 * (1 - chance))

    return Teacher(says)


def field(*names):
    return [candidate(f"it is {name}", name) for name in names]


async def weigh(teacher, candidates, problem=CHAT, **settings):
    weights = await Tournament(**settings).weigh(problem, candidates, teacher.context)
    return dict(zip((c.answer and c.answer.text for c in candidates), weights, strict=True))


@pytest.mark.parametrize("problem", [CHAT, PLAIN], ids=["chat", "plain"])
@pytest.mark.parametrize("bias", [0.0, 0.1, -0.1])
async def test_the_weight_is_the_mean_chance_whatever_place_the_judge_likes(problem, bias):
    teacher = likes(bias)
    weights = await weigh(teacher, field("one", "six", "three"), problem)
    assert weights == pytest.approx(
        {
            "six": (6 / 9 + 6 / 7) / 2,
            "three": (3 / 9 + 3 / 4) / 2,
            "one": (1 / 7 + 1 / 4) / 2,
        }
    )
    assert len(teacher.asked) == 2 * 3  # three comparisons, each in both orders


async def test_who_always_says_a_prefers_nobody():
    teacher = Teacher(lambda text, seed: " A")
    weights = await weigh(teacher, field("one", "two", "six"), reading="greedy")
    assert weights == {"one": 0.5, "two": 0.5, "six": 0.5}


async def test_greedy_letters_count_as_wins():
    def says(text, seed):
        a, b = (STRENGTH[solution.split()[-1]] for solution in shown(text))
        return "B" if b > a else " A"

    weights = await weigh(Teacher(says), field("two", "six", "one"), reading="greedy")
    assert weights == {"six": 1, "two": 0.5, "one": 0}


async def test_in_a_knockout_the_winner_lasts_all_rounds():
    teacher = likes(0.1)
    weights = await weigh(teacher, field("one", "six", "three", "two"), kind="knockout")
    assert len(teacher.asked) == 2 * 3
    assert weights["six"] == 1
    assert sorted(weights.values()) == [0, 0, 0.5, 1]


async def test_in_a_knockout_of_three_one_sits_out_first():
    teacher = likes()
    weights = await weigh(teacher, field("six", "one", "two"), kind="knockout")
    assert len(teacher.asked) == 2 * 2
    assert weights["six"] == 1 and sorted(weights.values()) == [0, 0.5, 1]


async def test_equals_in_a_knockout_are_told_apart_by_votes():
    teacher = Teacher(lambda text, seed: " A")
    pool = field("one", "two", "two", "six")
    weights = await weigh(teacher, pool, kind="knockout", reading="greedy")
    assert weights["two"] == 1


async def test_each_answer_takes_part_once_by_its_best_candidate():
    pool = [
        candidate("badly: one", "1", 0.2), candidate("well: six", "1", 0.9),
        candidate("nothing", None, 0.9), candidate("a guess: two", "2", 0.5),
    ]  # fmt: skip
    teacher = likes()
    weights = await Tournament().weigh(CHAT, pool, teacher.context)
    assert weights == pytest.approx([0.75, 0.75, OUT, 0.25])
    assert {*shown(teacher.asked[0][0].messages[-1].content)} == {"well: six", "a guess: two"}


async def test_the_answers_with_the_most_votes_take_part():
    teacher = likes()
    pool = field("one", "one", "two", "two", "six")
    weights = await weigh(teacher, pool, max_answers=2)
    assert weights == pytest.approx({"two": 2 / 3, "one": 1 / 3, "six": OUT})


async def test_a_single_answer_is_compared_with_nothing():
    for kind in ("round_robin", "knockout"):
        teacher = likes()
        weights = await weigh(teacher, [*field("two", "two"), candidate("?", None)], kind=kind)
        assert weights[None] == OUT and weights["two"] > 0
        assert not teacher.asked
        assert await Tournament(kind=kind).weigh(CHAT, [], teacher.context) == []


async def test_rounds_bound_the_comparisons():
    teacher = likes()
    weights = await weigh(teacher, field("one", "two", "three", "six"), rounds=2)
    assert len(teacher.asked) == 2 * 2 * 2
    assert all(0 < weight < 1 for weight in weights.values())
    teacher = likes()
    weights = await weigh(teacher, field("one", "two", "six"), rounds=1)
    assert len(teacher.asked) == 2
    assert 0.5 in weights.values()  # who sat out


@given(n=st.integers(0, 14), rounds=st.none() | st.integers(1, 16))
def test_all_meet_all_and_nobody_twice_in_a_round(n, rounds):
    found = pairings(n, rounds)
    for paired in found:
        busy = [i for pair in paired for i in pair]
        assert len(busy) == len(set(busy)) and set(busy) <= set(range(n))
        assert n - len(busy) <= 1
    met = [frozenset(pair) for paired in found for pair in paired]
    assert len(met) == len(set(met))
    every = n - 1 + n % 2 if n else 0
    if rounds is None or rounds >= every:
        assert len(met) == n * (n - 1) // 2
    else:
        assert len(found) == rounds


async def test_what_was_thought_aloud_is_shown_without_its_end():
    teacher = likes()
    pool = [candidate("<think>hm</think> six", "6"), candidate("two", "2")]
    await Tournament().weigh(Problem.chat("q", "How many?"), pool, teacher.context)
    ((problem, node), *_) = teacher.asked
    (turn,) = problem.messages
    assert "<think>hm six" in turn.content and "Problem:\nHow many?" in turn.content
    assert node.text == Tournament().lead


async def test_a_judge_that_answers_prose_is_an_error():
    teacher = Teacher(lambda text, seed: "Both")
    with pytest.raises(VerifierError, match="said 'Both'") as said:
        await weigh(teacher, field("one", "two"), reading="greedy")
    assert "selector.question" in said.value.hint


def model():
    """Mostly says 2, and then finds 6 more convincing."""

    def simulate(problem, node, seed):
        if "Solution A" in problem.prompt:
            a, _ = shown(problem.prompt)
            return Step(" A" if "6" in a else "B", 1)
        return Step("\\boxed{6}" if problem.id == "p" and seed % 5 == 0 else "\\boxed{2}", 5)

    return SimulatedBackend(simulate)


async def solved(**options):
    strategy = tts.SelfConsistency(n=12, selector=Tournament(reading="greedy"))
    return await tts.solve(PLAIN, strategy=strategy, backend=model(), **options)


async def test_at_the_end_of_self_consistency_a_minority_can_win():
    result = await solved()
    answers = [c.answer.key for c in result.candidates]
    assert 0 < answers.count("6") < 6, "the seeds make it a minority"
    assert result.answer == "6"
    assert result.usage.verifier_tokens > 2 * 10
    assert result.usage.completion_tokens == 12 * 5


async def test_without_the_means_to_compare_the_votes_decide():
    full = (await solved()).usage
    budget = Budget(total_tokens=full.total_tokens - 5)
    result = await solved(budget=budget)
    assert (result.status, result.answer) == ("exhausted", "2")
    assert result.usage.total_tokens <= budget.total_tokens


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"kind": "swiss"}, r"selector\.kind is 'swiss'"),
        ({"rounds": 0}, r"selector\.rounds is 0"),
        ({"rounds": 2, "kind": "knockout"}, "for round_robin alone"),
        ({"max_answers": 1}, r"selector\.max_answers is 1"),
        ({"reading": "loud"}, r"selector\.reading is 'loud'"),
    ],
)
def test_what_cannot_be_is_refused(settings, word):
    with pytest.raises(ConfigError, match=word):
        Tournament(**settings)


def test_what_it_needs():
    both = {Capability.CONTINUATION, Capability.LOGPROBS}
    assert Tournament().requires == both
    assert Tournament(reading="greedy", lead="").requires == set()
    assert Tournament().asks
    assert math.isclose(Tournament().floor, 0.05)
