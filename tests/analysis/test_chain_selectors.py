"""Choosing by the chain: shortest, fewest failed steps, most confident."""

from __future__ import annotations

import math

import pytest

import tts
from tests.analysis.thoughts import CHANGED, CORRECTED, TWO_WAYS, node, thought
from tts.analysis import FewestFailedSteps, MostConfident, Shortest
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import VerifierError
from tts.tasks import MathAnswers
from tts.types import Answer, Candidate, Problem, Segment

PROBLEM = Problem("p", prompt="47+6*8-29=")


def candidate(text, answer="66", **segment):
    found = None if answer is None else Answer(answer, answer)
    return Candidate(node(Segment(text, **segment)), found)


async def weigh(selector, *candidates):
    return await selector.weigh(PROBLEM, candidates, None)


async def test_the_shortest_thinking_part_weighs_most():
    long = thought("47+19=66") + "66" * 50
    pool = [candidate(TWO_WAYS), candidate(long), candidate(CHANGED, None)]
    weights = await weigh(Shortest(), *pool)
    assert weights[1] == -len("47+19=66\n\n") and weights[1] > weights[0]
    assert weights[2] == -math.inf


async def test_lengths_are_tokens_where_all_tell_them():
    wordy = candidate("<think>abcdefgh</think>3", tokens=(1, 2))
    dense = candidate("<think>abc</think>3", tokens=tuple(range(18)))
    text = candidate("<think>abcd</think>3")
    weights = await weigh(Shortest(), wordy, dense)
    assert weights[0] > weights[1]
    assert await weigh(Shortest(), wordy, dense, text) == [-8, -3, -4]


async def test_the_smallest_share_of_failed_steps_weighs_most():
    pool = [candidate(CORRECTED), candidate(CHANGED), candidate(TWO_WAYS), candidate("", None)]
    assert await weigh(FewestFailedSteps(), *pool) == pytest.approx([-2 / 5, -1 / 4, 0, -math.inf])


async def test_the_likeliest_tokens_weigh_most():
    pool = [candidate("ab", logprobs=(-1.0, -2.0)), candidate("abcd", logprobs=(-1.0,) * 4)]
    assert await weigh(MostConfident(), *pool, candidate("", None)) == [-1.5, -1.0, -math.inf]
    with pytest.raises(VerifierError, match="log-probabilities"):
        await weigh(MostConfident(), candidate("ab"))


@pytest.mark.parametrize(
    ("selector", "chosen"), [(Shortest(), CHANGED), (FewestFailedSteps(), TWO_WAYS)]
)
async def test_a_strategy_can_choose_by_the_chain(selector, chosen):
    texts = [CORRECTED, CHANGED, TWO_WAYS]

    def simulate(problem, trajectory, seed):
        return Step(texts[seed % 3], len(texts[seed % 3]))

    result = await tts.solve(
        PROBLEM,
        strategy=tts.SelfConsistency(n=24, selector=selector),
        backend=SimulatedBackend(simulate),
        answers=MathAnswers(),
        max_tokens=400,
    )
    assert {c.trajectory.text for c in result.candidates} == set(texts)
    assert result.best.trajectory.text == chosen
