"""Votes and scores, and ties that are fair."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tts
from tests.selectors.pool import candidate, weigh
from tts.errors import VerifierError
from tts.selectors import BestScore, Majority, WeightedVote
from tts.types import Problem


def test_majority_counts_equal_answers():
    pool = [candidate(a) for a in ("1", "2", "1", None)]
    assert weigh(Majority(), pool) == [2, 1, 2, float("-inf")]


def test_weighted_vote_adds_probabilities_not_logits():
    pool = [
        candidate("1", score=-2.0, scale="logit"),
        candidate("1", score=-2.0, scale="logit"),
        candidate("2", score=0.0, scale="logit"),
    ]
    one, _, two = weigh(WeightedVote(), pool)
    assert two > one  # 0.5 against 2 x 0.12; as logits it would be 0 against -4 all the same
    pool = [candidate("1", score=0.3), candidate("1", score=0.3), candidate("2", score=0.5)]
    assert weigh(WeightedVote(), pool) == pytest.approx([0.6, 0.6, 0.5])


def test_weighted_vote_refuses_rewards():
    with pytest.raises(VerifierError, match="adds probabilities"):
        weigh(WeightedVote(), [candidate("1", score=3.0, scale="reward")])


def test_best_score_takes_the_score_itself():
    pool = [
        candidate("1", score=-3.0, scale="reward"),
        candidate("2", score=5.0, scale="reward"),
        candidate(None, score=9.0, scale="reward"),
    ]
    assert weigh(BestScore(), pool) == [-3.0, 5.0, float("-inf")]


@pytest.mark.parametrize("selector", [BestScore(), WeightedVote()])
def test_a_missing_score_is_an_error(selector):
    with pytest.raises(VerifierError, match="no score"):
        weigh(selector, [candidate("1")])


@given(st.permutations(["a"] * 3 + ["b"] * 2 + ["c"]))
def test_the_order_of_candidates_decides_nothing(answers):
    weights = dict(zip(answers, weigh(Majority(), [candidate(a) for a in answers]), strict=True))
    assert weights == {"a": 3, "b": 2, "c": 1}


async def test_ties_are_fair(world):
    """Over many problems each of the tied answers wins its share."""

    def tied(problem, node, seed):
        # Sample 0 and 1 differ by their seed's parity; three answers, one vote each.
        return tts.backends.simulated.Step(f"\\boxed{{{order[problem.id].pop()}}}", 3)

    order = {f"t{i}": ["3", "2", "1"] for i in range(900)}
    backend = tts.backends.simulated.SimulatedBackend(tied)
    problems = [Problem(name, prompt="x") for name in order]
    wins = Counter()
    async for result in tts.solve_all(
        problems, strategy=tts.SelfConsistency(n=3), backend=backend, seed=1
    ):
        wins[result.answer] += 1
    assert set(wins) == {"1", "2", "3"}
    assert all(240 <= n <= 360 for n in wins.values()), wins  # 300 +- 4 standard deviations
