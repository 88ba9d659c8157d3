"""Every strategy keeps its contract. A new strategy adds one line."""

import pytest

import tts
from tts.strategies import DeepConf, FirstAccepted, GlimpRouter, SpecReason
from tts.testing import check_strategy

STRATEGIES = [
    tts.Greedy(),
    tts.SelfConsistency(n=8),
    tts.BestOfN(n=8),
    tts.WeightedBestOfN(n=8),
    FirstAccepted(accept=0.5),
    FirstAccepted(n=6, batch=2, accept=0.9, otherwise="best"),
    tts.FirstFinish(n=8, k=3),
    tts.FirstFinish(n=8, k=3, order="arrival"),
    tts.LastFinish(n=8, k=3),
    DeepConf(mode="offline", n=8, keep=0.5, window=4),
    DeepConf(n=8, warmup=3, window=4),
    DeepConf(n=8, warmup=3, window=4, keep=0.5, consensus=0.6),
    tts.BeamSearch(n=8, width=2),
    tts.DVTS(n=8, width=4),
    tts.EarlyRejection(n=8, width=2, tau=4),
    tts.EarlyRejection(n=8, width=2, tau="auto"),
    tts.ParticleFilter(n=8),
    tts.ParticleFilter(n=8, mode="exact", ess_threshold=0.5, resampling="systematic"),
    tts.AStar(k=3),
    tts.AStar(k=2, pops=3, cost="drops"),
    tts.AsyncBeam(n=8, width=2),
    SpecReason(threshold=4.5),
    SpecReason(threshold=7, first_n=1),
    GlimpRouter(threshold=2),
    GlimpRouter(threshold=1.5, first_n=1, thinking_end="step 1", answer_tokens=20),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(
    "controller", [tts.Fixed(), tts.BetaStopping(batch=3)], ids=["fixed", "beta"]
)
async def test_contract(strategy, controller):
    await check_strategy(strategy, controller=controller)
