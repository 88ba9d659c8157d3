"""Selectors inside strategies: what they need is asked for, and who asks a model is used once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

import tts
from tts.errors import CapabilityMissing
from tts.selectors import WeightedVote
from tts.solve import Setup
from tts.types import Capability, Published, Sampling


@dataclass(frozen=True)
class LastOne:
    """Takes the last candidate, after a question to a model; remembers how many it was shown."""

    shown: list[int] = field(default_factory=list, hash=False)
    requires: frozenset[Capability] = frozenset()
    asks: bool = True

    async def weigh(self, problem, candidates, ctx):
        self.shown.append(len(candidates))
        root = tts.Trajectory.root()
        asked = tts.Request(problem, root, sampling=Sampling(temperature=0.0), seed=0)
        async with ctx.backend.open(asked) as stream:
            async for _ in stream:
                pass
        return [float(n) for n in range(len(candidates))]


@dataclass(frozen=True)
class ReadsTokens:
    """Needs to see what each token might have been."""

    top: int = 3
    requires: frozenset[Capability] = frozenset({Capability.LOGPROBS})
    asks: bool = False

    async def weigh(self, problem, candidates, ctx):
        assert all(c.trajectory.logprobs for c in candidates)
        return [0.0] * len(candidates)


STRATEGIES = [
    tts.SelfConsistency(n=6, selector=LastOne()),
    tts.FirstFinish(n=6, k=6, selector=LastOne()),
    tts.LastFinish(n=6, k=6, selector=LastOne()),
    tts.BeamSearch(n=4, width=2, selector=LastOne()),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
async def test_a_selector_that_asks_is_used_once_when_all_are_there(world, problem, strategy):
    strategy.selector.shown.clear()
    published = []

    def hear(event):
        if isinstance(event, Published):
            published.append(event.candidate)

    result = await tts.solve(
        problem,
        strategy=strategy,
        backend=world.backend(),
        verifier=tts.Likelihood(),
        on_event=hear,
    )
    answered = [c for c in result.candidates if c.answer]
    assert strategy.selector.shown == [len(answered)]
    assert published, "the best so far is told meanwhile"
    assert result.usage.verifier_tokens > 0, "its question is paid for"


async def test_the_backend_is_asked_for_what_a_selector_reads(world, problem):
    strategy = tts.SelfConsistency(n=3, selector=ReadsTokens())
    setup = Setup(strategy=strategy, backend=world.backend(), verifier=tts.Likelihood())
    assert setup.logprobs == 3
    assert Setup(strategy=tts.SelfConsistency(n=3), backend=world.backend()).logprobs is None
    result = await tts.solve(problem, strategy=strategy, backend=world.backend())
    assert result.best is not None


def test_what_a_selector_lacks_is_said_before_anything_is_spent(world):
    voting = tts.SelfConsistency(n=3, selector=WeightedVote())
    with pytest.raises(CapabilityMissing, match="WeightedVote needs a verifier and got none"):
        Setup(strategy=voting, backend=world.backend())


async def test_a_vote_by_score_has_every_sample_judged(world, problem):
    voting = tts.SelfConsistency(n=5, selector=WeightedVote())
    backend = world.backend()
    result = await tts.solve(problem, strategy=voting, backend=backend, verifier=tts.Likelihood())
    assert result.usage.verifier_calls == 5
