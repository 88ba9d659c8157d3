"""Adaptive sampling: when it stops, at what temperatures, and who is pruned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

import tts
from tests.strategies.stories import ByHeads, Story, by_heads
from tts.backends.simulated import SimulatedBackend
from tts.errors import CapabilityMissing, ConfigError
from tts.strategies.adaptive_sampling import AdaptiveSampling
from tts.testing import LengthVerifier, check_strategy
from tts.types import Problem

PROBLEM = Problem("p", prompt="What is it?")


async def search(strategy, story=None, verifier=None, **options):
    return await tts.solve(
        PROBLEM,
        strategy=strategy,
        backend=(story or Story([40])).backend,
        verifier=verifier or ByHeads(),
        **{"max_tokens": 1000, **options},
    )


@pytest.mark.parametrize(
    "strategy",
    [
        AdaptiveSampling(n=6, threshold=0.8),
        AdaptiveSampling(n=6, threshold=None, at_once=2),
        AdaptiveSampling(n=8, threshold=None, at_once=8, prefix=12),
        AdaptiveSampling(n=8, threshold=0.9, at_once=4, prefix=6, keep=0.5),
    ],
    ids=["one at a time", "in pairs", "pruned", "both"],
)
@pytest.mark.parametrize("controller", [tts.Fixed(), tts.BetaStopping(batch=3)])
async def test_contract(strategy, controller):
    await check_strategy(strategy, controller=controller)


async def test_it_stops_at_the_first_answer_that_is_good_enough():
    everything = await search(AdaptiveSampling(n=12, threshold=None))
    scores = [c.score.raw for c in everything.candidates]
    assert len(scores) == 12
    threshold = sorted(scores)[-3]
    first = next(i for i, score in enumerate(scores) if score >= threshold)
    stopped = await search(AdaptiveSampling(n=12, threshold=threshold))
    assert [c.score.raw for c in stopped.candidates] == scores[: first + 1]
    assert stopped.best.score.raw == stopped.details["best"] == scores[first]


async def test_answers_are_one_after_the_other():
    result = await search(AdaptiveSampling(n=3, threshold=None))
    assert [c.trajectory.clock for c in result.candidates] == [40, 80, 120]


async def test_each_answer_is_warmer_than_the_one_before(monkeypatch):
    asked = []
    real = SimulatedBackend.open

    def listening(self, request):
        asked.append(request.sampling.temperature)
        return real(self, request)

    monkeypatch.setattr(SimulatedBackend, "open", listening)
    await search(AdaptiveSampling(n=5, threshold=None))
    expected = [1 - 0.7 * math.sqrt(0.5) ** i for i in range(5)]
    assert asked == pytest.approx(expected)
    asked.clear()
    await search(AdaptiveSampling(n=4, threshold=None, at_once=4, prefix=10, keep=0.5))
    assert asked[:4] == pytest.approx(expected[:4])
    assert len(asked) == 6 and set(asked[4:]) <= set(asked[:4])


async def test_only_the_best_beginnings_are_written_to_their_end():
    verifier = ByHeads()
    result = await search(
        AdaptiveSampling(n=10, threshold=None, at_once=10, prefix=10, keep=0.3), verifier=verifier
    )
    heads = [text for text in verifier.judged if len(text) == 10]
    assert len(heads) == 10 and result.details["pruned"] == 7
    best = sorted(map(by_heads, heads))[-3:]
    assert sorted(c.score.raw for c in result.candidates) == pytest.approx(best)
    assert result.usage.completion_tokens == 10 * 10 + 3 * 30


async def test_who_ends_before_the_cut_is_not_continued():
    result = await search(AdaptiveSampling(n=4, threshold=None, at_once=4, prefix=60, keep=0.5))
    assert len(result.candidates) == 2
    assert result.usage.completion_tokens == 4 * 40


async def test_rounds_are_pruned_until_one_is_good_enough():
    result = await search(AdaptiveSampling(n=12, threshold=0.0, at_once=4, prefix=10, keep=0.5))
    assert (result.details["begun"], result.details["pruned"]) == (4, 2)


@dataclass(frozen=True)
class WholeOnly(LengthVerifier):
    partial: bool = False


async def test_pruning_needs_scores_of_beginnings():
    await search(AdaptiveSampling(n=2), verifier=WholeOnly())
    with pytest.raises(CapabilityMissing, match="unfinished answers"):
        await search(AdaptiveSampling(n=2, prefix=8), verifier=WholeOnly())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n": 0}, r"strategy\.n is 0"),
        ({"at_once": 0}, r"strategy\.at_once is 0"),
        ({"n": 2, "at_once": 3}, r"strategy\.at_once is 3, and strategy\.n is 2"),
        ({"prefix": 0}, r"strategy\.prefix is 0"),
        ({"keep": 0}, r"strategy\.keep is 0"),
        ({"keep": 1.5}, r"strategy\.keep is 1\.5"),
        ({"threshold": math.inf}, r"strategy\.threshold is inf"),
        ({"coldest": 1.2}, r"strategy\.coldest is 1\.2"),
        ({"hottest": 2.5}, r"strategy\.hottest 2\.5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        AdaptiveSampling(**wrong)
