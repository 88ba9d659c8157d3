"""A vote in which the surer of two samples weighs more, by their ranks and not by their values.

Source: Kang et al. 2025, "Scalable Best-of-N Selection for Large Language Models via
Self-Certainty". Of n candidates the r-th in the order of a measure votes with (n - r + 1)^p. So
nothing hangs on the scale of the measure: also scores that are no probabilities can weigh votes.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tts.errors import ConfigError
from tts.protocols import VerifierContext
from tts.selectors._counting import places, score_of, summed
from tts.signals.answers import certainty, likelihood
from tts.types import Candidate, Capability, Problem

By = Literal["self_certainty", "confidence", "entropy", "likelihood", "score"]

_LARGEST = 50  # power: beyond it the best one decides anyway, and numbers overflow


@dataclass(frozen=True)
class Borda:
    """Each candidate weighs as much as the Borda votes for its answer add up to.

    Candidates without an answer are not ranked. Who ties shares the places: each votes with the
    mean of what they are worth, so that the order of samples decides nothing.

    Args:
        by: What orders the candidates. `self_certainty` (the paper's), `confidence` and `entropy`
            are means over the tokens, see `tts.signals.answers.certainty`; `likelihood` needs the
            drawn tokens' log-probabilities alone; `score` is the verifier's.
        power: The p of the vote, 0 to 50. With 0 it is the majority, and the larger it is, the
            more the best one decides. The authors' program takes 0.5.
        top: Likeliest tokens that are read at each place, at least 2.
    """

    by: By = "self_certainty"
    power: float = 0.5
    top: int = 20
    asks: bool = False

    def __post_init__(self) -> None:
        if self.by not in get_args(By):
            raise ConfigError(
                f"strategy.selector.by is {self.by!r}.", hint=f"Take one of {get_args(By)}."
            )
        if not 0 <= self.power <= _LARGEST:
            raise ConfigError(
                f"strategy.selector.power is {self.power:g}; it must lie in [0, {_LARGEST}].",
                hint="Set strategy.selector.power=0.5.",
            )
        if self.top < 2:
            raise ConfigError(
                f"strategy.selector.top is {self.top}; it must be at least 2.",
                hint="Set strategy.selector.top=20.",
            )

    @property
    def requires(self) -> frozenset[Capability]:
        """A verifier for `score`; log-probabilities for all else."""
        by_score = self.by == "score"
        return frozenset({Capability.VERIFIER if by_score else Capability.LOGPROBS})

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """Sum of the votes for the candidate's answer; -inf for a candidate without one.

        Raises:
            VerifierError: A candidate came without what orders it.
        """
        ranked = [c for c in candidates if c.answer]
        order = places([self._remembered(c, ctx.memory) for c in ranked])
        votes = iter([self._vote(first, last, len(ranked)) for first, last in order])
        return summed(candidates, [next(votes) if c.answer else 0.0 for c in candidates])

    def _vote(self, first: int, last: int, n: int) -> float:
        worth = [(n - place + 1) ** self.power for place in range(first, last + 1)]
        return math.fsum(worth) / len(worth)

    def _remembered(self, candidate: Candidate, memory: MutableMapping[Hashable, Any]) -> float:
        """The value of a candidate; reading a long answer again at each choice would take long."""
        key = ("borda", self.by, self.top, candidate)
        if key not in memory:
            memory[key] = self._value(candidate)
        value: float = memory[key]
        return value

    def _value(self, candidate: Candidate) -> float:
        if self.by == "score":
            return score_of(candidate).raw
        if self.by == "likelihood":
            return likelihood(candidate.trajectory)
        return certainty(candidate.trajectory, self.by, top=self.top)
