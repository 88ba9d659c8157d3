"""Every strategy keeps its contract. A new strategy adds one line."""

import pytest

import tts
from tts.testing import check_strategy

STRATEGIES = [
    tts.Greedy(),
    tts.SelfConsistency(n=8),
    tts.BestOfN(n=8),
    tts.WeightedBestOfN(n=8),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(
    "controller", [tts.Fixed(), tts.BetaStopping(batch=3)], ids=["fixed", "beta"]
)
async def test_contract(strategy, controller):
    await check_strategy(strategy, controller=controller)
