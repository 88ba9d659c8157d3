"""First accepted: what it accepts, what it pays, and when it has no answer."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import tts
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import CapabilityMissing, ConfigError
from tts.strategies import FirstAccepted
from tts.types import Capability, Published, Score, Usage

REQUIRES: frozenset[Capability] = frozenset()


@dataclass(frozen=True)
class Scripted:
    """Scores answers by what they say."""

    scores: dict
    requires: frozenset[Capability] = REQUIRES
    partial: bool = False

    def identity(self):
        return {"verifier": "scripted"}

    def bound(self, problem, tokens, ctx):
        return Usage(verifier_calls=1)

    async def score(self, problem, trajectories, ctx):
        return [Score(self.scores[t.text], "reward") for t in trajectories]


async def run(problem, texts, scores, budget=None, on_event=None, **settings):
    """Samples say `texts` in the order of their numbers."""
    seeds = [tts.derive(0, problem.id, 0, "", child) for child in range(len(texts))]
    backend = SimulatedBackend(lambda p, node, seed: Step(texts[seeds.index(seed)], 10))
    return await tts.solve(
        problem,
        strategy=FirstAccepted(n=len(texts), **settings),
        backend=backend,
        verifier=Scripted(dict(zip(texts, scores, strict=True))),
        budget=budget,
        on_event=on_event,
    )


TEXTS = ["\\boxed{1}", "no idea", "\\boxed{2}", "\\boxed{3}"]


async def test_the_first_accepted_answer_ends_it(problem):
    result = await run(problem, TEXTS, [0.1, 0.9, 0.5, 0.8])
    assert (result.answer, result.usage.calls, result.status) == ("2", 3, "done")
    assert result.usage.sequential_tokens == 30, "one after the other"


async def test_a_batch_is_paid_whole_and_its_first_accepted_answer_counts(problem):
    result = await run(problem, TEXTS, [0.1, 0.9, 0.5, 0.8], batch=2)
    assert (result.answer, result.usage.calls) == ("2", 4)
    assert result.usage.sequential_tokens == 20


async def test_without_an_accepted_answer_it_abstains(problem):
    events = []
    result = await run(problem, TEXTS, [0.1, 0.9, 0.2, 0.3], on_event=events.append)
    assert result.best is None and result.answer is None
    assert (result.status, len(result.candidates)) == ("done", 4)
    assert not any(isinstance(e, Published) for e in events)


async def test_or_it_takes_the_best(problem):
    result = await run(problem, TEXTS, [0.1, 0.9, 0.4, 0.3], otherwise="best")
    assert result.answer == "2" and result.usage.calls == 4


@pytest.mark.parametrize(("otherwise", "answer"), [("abstain", None), ("best", "1")])
async def test_a_budget_that_runs_dry(problem, otherwise, answer):
    budget = tts.Budget(calls=4)
    result = await run(problem, TEXTS, [0.1, 0.0, 0.4, 0.9], budget, otherwise=otherwise)
    assert (result.answer, result.status, result.limit) == (answer, "exhausted", "calls")


async def test_it_needs_a_verifier(world, problem):
    with pytest.raises(CapabilityMissing, match="FirstAccepted needs a verifier"):
        await tts.solve(problem, strategy=FirstAccepted(), backend=world.backend())


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"accept": float("nan")}, {"batch": 0}, {"otherwise": "guess"}]
)
def test_bad_settings_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=rf"^strategy\.{next(iter(wrong))} is "):
        FirstAccepted(**wrong)
