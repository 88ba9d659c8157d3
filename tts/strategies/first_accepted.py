"""First accepted: resample until the verifier accepts an answer, or abstain.

Source: resampling with an imperfect verifier, "Inference Scaling fLaws" (Stroebl, Kapoor, Narayanan
2024). False positives cap what more samples can bring; the controller `OptimalStopping` knows when
to give up.
"""

from __future__ import annotations

import math
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from tts.errors import ConfigError
from tts.protocols import Env
from tts.selectors import BestScore
from tts.strategies._common import answers, check_n
from tts.types import Candidate, Capability, Problem, Result


@dataclass(frozen=True)
class FirstAccepted:
    """The first answer whose score reaches `accept`.

    The controller is asked before every batch, and sees only what was rejected. Who abstains
    publishes nothing until an answer is accepted, so that a budget which runs dry ends without an
    answer too; a landing reserve (`budget.landing_tokens`) would close one all the same.

    Args:
        accept: Least score of an accepted answer, on the verifier's scale.
        n: Most answers to sample, at least 1.
        batch: Answers to sample side by side, at least 1. All of a batch are paid; the first
            accepted one by number counts.
        otherwise: Without an accepted answer: `abstain` (no answer), or `best` (by score).

    Raises:
        ConfigError: A setting lies outside its range.
    """

    accept: float = 0.5
    n: int = 8
    batch: int = 1
    otherwise: Literal["abstain", "best"] = "abstain"
    requires: frozenset[Capability] = frozenset({Capability.VERIFIER})

    def __post_init__(self) -> None:
        check_n(self.n)
        if not math.isfinite(self.accept):
            raise ConfigError(
                f"strategy.accept is {self.accept}; it must be finite.",
                hint="Set strategy.accept=0.5.",
            )
        if self.batch < 1:
            raise ConfigError(
                f"strategy.batch is {self.batch}; it must be at least 1.",
                hint="Set strategy.batch=1.",
            )
        if self.otherwise not in ("abstain", "best"):
            raise ConfigError(
                f"strategy.otherwise is {self.otherwise!r}; it must be abstain or best.",
                hint="Set strategy.otherwise=abstain.",
            )

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Sample and judge, batch after batch."""
        drawn: list[Candidate] = []
        asked = clock = 0
        while asked < self.n and (
            granted := await env.more(tuple(drawn), min(self.batch, self.n - asked))
        ):
            batch = await self._batch(env, range(asked, asked + granted), clock)
            drawn += batch
            asked += granted
            accepted = next((c for c in batch if self._accepts(c)), None)
            if accepted is not None:
                env.publish(accepted)
                return Result(problem.id, accepted, tuple(drawn))
            if self.otherwise == "best" and (best := await env.choose(BestScore(), drawn)):
                env.publish(best)
            if len(batch) < granted:
                break  # the budget is spent
            clock = max(c.trajectory.clock for c in drawn)
        best = await env.choose(BestScore(), drawn) if self.otherwise == "best" else None
        return Result(problem.id, best, tuple(drawn))

    def _accepts(self, candidate: Candidate) -> bool:
        score = candidate.score
        return candidate.answer is not None and score is not None and score.raw >= self.accept

    async def _batch(self, env: Env, numbers: range, clock: int) -> list[Candidate]:
        found: dict[int, Candidate] = {}
        async with aclosing(answers(env, numbers, after=clock, scored=True)) as arriving:
            async for number, candidate in arriving:
                found[number] = candidate
        return [found[number] for number in sorted(found)]
