"""Masked numbers, what is recovered of them, and the weights that come of it."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tts
from tests.verifiers.asked import Teacher, candidate
from tts.backends.simulated import SimulatedBackend, Step
from tts.budget import Budget
from tts.errors import ConfigError
from tts.types import Message, Problem
from tts.verifiers import Backward
from tts.verifiers.backward import fobar, masks

APPLES = Problem.chat("apples", "Ann has 3 apples and buys 4. How many has she?", system="Box it.")


def solver(*, right="7"):
    """Finds the masked number if it is told the right answer, and says 100 otherwise."""

    def says(text, seed):
        known = re.search(r"it is (\S+)\. What", text)[1]
        missing = 3 if "has x apples" in text else 4
        return f"So \\boxed{{{missing if known == right else 100}}}"

    return Teacher(says)


def pool(*answers):
    return [candidate(f"work {i}", a) for i, a in enumerate(answers)]


async def weigh(teacher, candidates, problem=APPLES, **settings):
    return await Backward(**settings).weigh(problem, candidates, teacher.context)


async def test_what_can_be_recovered_outweighs_the_votes():
    teacher = solver()
    candidates = pool("7", "12", "12", "12", None)
    weights = await weigh(teacher, candidates, epsilon=0.5)
    assert len(teacher.asked) == 2 * 2 * 4  # answers, numbers, samples
    right = math.sqrt(1 / 4 * 8.5 / 9)
    wrong = math.sqrt(3 / 4 * 0.5 / 9)
    assert weights == pytest.approx([right, wrong, wrong, wrong, -math.inf])


@pytest.mark.parametrize(
    ("alpha", "weights"),
    [
        (1.0, [0.75, 0.25]),
        (0.0, [1 / 4, 3 / 4]),
        (0.5, [math.sqrt(0.75 / 4), math.sqrt(0.25 * 3 / 4)]),
        (0.75, [0.75**0.75 * 0.25**0.25, 0.25**0.75 * 0.75**0.25]),
    ],
)
def test_the_formula(alpha, weights):
    assert fobar([3, 1], [1, 3], alpha, 1e-12) == pytest.approx(weights)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.floats(0.1, 1))
def test_where_nothing_was_recovered_the_votes_decide(votes, alpha):
    weights = fobar(votes, [0.0] * len(votes), alpha, 1e-8)
    assert sorted(range(len(votes)), key=lambda i: (votes[i], i)) == sorted(
        range(len(votes)), key=lambda i: (weights[i], i)
    )


async def test_a_question_without_a_number_is_left_to_the_votes():
    teacher = solver()
    riddle = Problem.chat("riddle", "What has keys, and opens no lock?")
    weights = await weigh(teacher, pool("a", "b", "b", "b"), riddle, alpha=0.0)
    assert weights == [0.25, 0.75, 0.75, 0.75]
    assert not teacher.asked


async def test_a_single_answer_needs_no_check():
    teacher = solver()
    assert await weigh(teacher, pool("7", "7")) == [1, 1]
    assert await weigh(teacher, []) == []
    assert await weigh(teacher, pool(None)) == [-math.inf]
    assert not teacher.asked


async def test_only_the_answers_with_the_most_votes_are_checked():
    teacher = solver()
    candidates = pool("7", "12", "12", "13", "13")
    weights = await weigh(teacher, candidates, max_answers=2, max_numbers=1, samples=2)
    assert len(teacher.asked) == 2 * 1 * 2
    assert weights[0] < weights[1] == weights[3]


async def test_numbers_are_compared_as_answers_are():
    big = Problem.chat("big", "A town of 1,200 grows by 30. How many live there?")

    def says(text, seed):
        return "x = 1200.0, so \\boxed{1200.00}" if "town of x" in text else "\\boxed{30.5}"

    weights = await weigh(Teacher(says), pool("1230", "9"), big, alpha=0.0)
    assert weights == pytest.approx([0.5, 0.5])  # four recoveries each: of one number alone
    weights = await weigh(Teacher(lambda text, seed: "I cannot"), pool("1230", "9"), big)
    assert weights[0] == weights[1]


async def test_the_last_turn_of_the_user_is_masked_and_the_rest_is_kept():
    talk = Problem(
        "talk",
        messages=(Message("system", "Box it."), Message("user", "What is 1+1?"),
                  Message("assistant", "2"), Message("user", "And plus 5?")),
    )  # fmt: skip
    teacher = Teacher(lambda text, seed: "\\boxed{5}")
    await weigh(teacher, pool("7", "8"), talk, samples=1)
    for problem, node in teacher.asked:
        assert problem.messages[:3] == talk.messages[:3]
        assert problem.messages[3].content.startswith("And plus x?\n\nIn the text above")
        assert node.text == ""
    assert len({problem.messages[3].content for problem, _ in teacher.asked}) == 2


async def test_a_plain_prompt_is_masked_too():
    teacher = Teacher(lambda text, seed: "\\boxed{2}")
    await weigh(teacher, pool("7", "8"), Problem("p", prompt="2+5="), samples=1)
    prompts = {problem.prompt for problem, _ in teacher.asked}
    assert sum(prompt.startswith("x+5=") for prompt in prompts) == 2
    assert sum(prompt.startswith("2+x=") for prompt in prompts) == 2


@pytest.mark.parametrize(
    ("text", "most", "found"),
    [
        ("3 and 4.", 9, [("x and 4.", "3"), ("3 and x.", "4")]),
        ("1, 2 and 3", 2, [("1, x and 3", "2"), ("1, 2 and x", "3")]),
        ("$1,250.75 at 5%", 9, [("$x at 5%", "1,250.75"), ("$1,250.75 at x%", "5")]),
        ("solve 2x = 8", 9, [("solve 2x = y", "8")]),
        ("solve x + 1", 9, [("solve x + y", "1")]),
        ("X or y, of 6", 9, [("X or y, of z", "6")]),
        ("the 2nd of x2, v1.5 or 1.2.3", 9, []),
        ("\\frac{1}{2}", 9, [("\\frac{x}{2}", "1"), ("\\frac{1}{x}", "2")]),
        ("no number", 9, []),
    ],
)
def test_what_is_masked(text, most, found):
    assert [(mask.text, mask.number) for mask in masks(text, most)] == found


@given(st.text("0123456789.,x+ $%", max_size=30))
def test_what_was_masked_can_be_put_back(text):
    for mask in masks(text, 99):
        assert mask.text.count(mask.symbol) == 1 + text.count(mask.symbol)
        assert mask.text.replace(mask.symbol, mask.number, 1) == text or mask.symbol in text


def simulate(problem, node, seed):
    """A model that says 7 now and then, and finds that everything fits it."""
    told = re.search(r"it is (\S+)\. What", problem.prompt)
    if told is None:
        return Step("\\boxed{7}" if seed % 5 == 0 else "\\boxed{12}", 5)
    missing = 3 if problem.prompt.startswith("x+4") else 4
    return Step(f"\\boxed{{{missing if told[1] == '7' else 100}}}", 8)


async def solved(**options):
    return await tts.solve(
        Problem("p", prompt="3+4="),
        strategy=tts.SelfConsistency(n=12, selector=Backward(max_tokens=8)),
        backend=SimulatedBackend(simulate),
        **options,
    )


async def test_at_the_end_of_self_consistency_it_is_paid_by_the_verifier():
    result = await solved()
    answers = [c.answer.key for c in result.candidates]
    assert 0 < answers.count("7") < 6, "the seeds make it a minority"
    assert result.answer == "7"
    assert result.usage.completion_tokens == 12 * 5
    assert result.usage.verifier_tokens == 2 * 2 * 4 * (10 + 8)


@pytest.mark.parametrize("short", [1, 5, 8, 17, 100])
async def test_attempts_that_the_budget_cuts_short_are_no_failures_to_recover(short):
    budget = Budget(total_tokens=12 * 15 + 16 * 18 - short)
    result = await solved(budget=budget, max_tokens=5)
    assert (result.status, result.limit, result.answer) == ("exhausted", "total_tokens", "12")
    assert result.usage.total_tokens <= budget.total_tokens


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"samples": 0}, r"selector\.samples is 0"),
        ({"max_numbers": 0}, r"selector\.max_numbers is 0"),
        ({"max_answers": 1}, r"selector\.max_answers is 1"),
        ({"max_tokens": 0}, r"selector\.max_tokens is 0"),
        ({"alpha": 1.5}, r"selector\.alpha is 1\.5"),
        ({"epsilon": 0.0}, r"selector\.epsilon is 0"),
        ({"temperature": 0.0}, "would all be the same"),
        ({"question": "What is {symbol}?"}, r"does not say \{answer\}"),
    ],
)
def test_what_cannot_be_is_refused(settings, word):
    with pytest.raises(ConfigError, match=word):
        Backward(**settings)
