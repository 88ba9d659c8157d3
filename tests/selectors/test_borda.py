"""Borda votes: ranks by hand, the majority as a limit, and shared places."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

import tts
from tests.selectors.pool import NONE, PROBLEM, candidate, weigh
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import ConfigError, VerifierError
from tts.protocols import ReadsTop
from tts.selectors import Borda, Majority, borda
from tts.solve import Setup
from tts.testing import FreeContext, World
from tts.types import Capability

pools = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 4)), min_size=1, max_size=12
)


def scored(pool):
    return [candidate(a, score=float(s), scale="reward") for a, s in pool]


def test_votes_by_hand():
    pool = scored([("a", 5), ("b", 4), ("b", 3), ("c", 9), (None, 99)])
    # Ranks 2, 3, 4, 1 of four; without power 3 + ..., c: 4, a: 3, b: 2 + 1.
    assert weigh(Borda("score", power=1.0), pool) == [3, 3, 3, 4, NONE]
    assert weigh(Borda("score", power=2.0), pool) == [9, 5, 5, 16, NONE]
    assert weigh(Borda("score", power=0.5), pool)[1] == approx(math.sqrt(2) + 1)


def test_who_ties_shares_the_places():
    # Places 1 and 2 are worth 3 and 2: each of the tied has 2.5.
    pool = scored([("a", 7), ("b", 7), ("c", 1)])
    assert weigh(Borda("score", power=1.0), pool) == [2.5, 2.5, 1]


@given(pools)
def test_without_a_power_it_is_the_majority(pool):
    assert weigh(Borda("score", power=0.0), scored(pool)) == weigh(Majority(), scored(pool))


@given(pools)
def test_with_a_large_power_the_best_decides(pool):
    found = weigh(Borda("score", power=50.0), scored(pool))
    answered = [(s, w) for (a, s), w in zip(pool, found, strict=True) if a]
    if answered:
        best = max(s for s, _ in answered)
        assert max(w for _, w in answered) == max(w for s, w in answered if s == best)


@given(pools.flatmap(lambda pool: st.tuples(st.just(pool), st.permutations(pool))))
def test_neither_order_nor_scale_decides(pools):
    one, other = pools
    weights = dict(zip(one, weigh(Borda("score"), scored(one)), strict=True))
    stretched = [(a, s**3 - 100) for a, s in other]
    assert [weights[item] for item in other] == weigh(Borda("score"), scored(stretched))


def test_what_orders_the_candidates():
    even = {0: math.log(0.5), 1: math.log(0.5)}
    peak = {0: math.log(0.9), 1: math.log(0.1)}
    pool = [candidate("a", p=0.9, top=even), candidate("b", p=0.2, top=peak)]
    for by in ("self_certainty", "confidence", "entropy"):
        assert weigh(Borda(by, power=1.0), pool) == [1, 2], by
    assert weigh(Borda("likelihood", power=1.0), pool) == [2, 1]


def test_what_is_missing_is_an_error():
    for by, lack in (("score", "no score"), ("entropy", "likeliest"), ("likelihood", "log-prob")):
        with pytest.raises(VerifierError, match=lack):
            weigh(Borda(by), [candidate("a")])


def test_it_says_what_it_needs():
    assert Borda().requires == {Capability.LOGPROBS} and isinstance(Borda(), ReadsTop)
    assert Borda("score").requires == {Capability.VERIFIER}
    setup = Setup(
        strategy=tts.SelfConsistency(selector=Borda(top=7)),
        backend=SimulatedBackend(lambda *_: Step("", 1)),
    )
    assert setup.logprobs == 7


@pytest.mark.parametrize(
    ("field", "value"), [("by", "mood"), ("power", -1.0), ("power", math.inf), ("top", 1)]
)
def test_bad_settings_are_refused(field, value):
    with pytest.raises(ConfigError, match=f"selector.{field}"):
        Borda(**{field: value})


async def test_in_a_run_the_surer_sample_has_the_say():
    """One against one: the majority is a tie, and the ranks break it."""

    def simulate(problem, node, seed):
        sure = voices.pop()
        return Step(f"\\boxed{{{int(sure)}}}", 5, logprob=-0.01 if sure else -1.0)

    for order in ([True, False], [False, True]):
        voices = list(order)
        result = await tts.solve(
            "1 or 0?",
            strategy=tts.SelfConsistency(n=2, selector=Borda()),
            backend=SimulatedBackend(simulate),
        )
        assert result.answer == "1"


def test_an_answer_is_read_once_for_all_choices(monkeypatch):
    ctx, pool = FreeContext(World().backend()), [candidate("a", p=0.5), candidate("b", p=0.9)]
    read = []
    real = borda.likelihood
    monkeypatch.setattr(borda, "likelihood", lambda node: read.append(node) or real(node))
    for _ in range(3):
        weights = asyncio.run(Borda("likelihood", power=1.0).weigh(PROBLEM, pool, ctx))
    assert weights == [1, 2] and len(read) == 2
