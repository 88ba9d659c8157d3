"""Two verifiers one after the other: the dear one is asked where the cheap one is in doubt.

Source: the cascades of Viola & Jones 2001 ("Rapid Object Detection using a Boosted Cascade of
Simple Features"), with an upper threshold beside the lower one. Knows nothing of how either judges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tts.errors import ConfigError
from tts.protocols import Verifier, VerifierContext
from tts.types import Problem, Score, Trajectory
from tts.verifiers._composite import Composite, chance, check_part, identities


@dataclass(frozen=True, eq=False)
class Cascade(Composite):
    """The cheap verifier's probability, or the dear one's where the cheap one is in doubt.

    Both should be calibrated: an answer that the cheap one is sure of is ranked against answers
    that the dear one has judged.

    Args:
        cheap: Judges every answer.
        dear: Judges those of which the cheap one's probability lies in [low, high].
        low: Below it the cheap one's word stands, 0 to 1.
        high: Above it the cheap one's word stands, `low` to 1.

    Raises:
        ConfigError: A field is no verifier, or the thresholds are no interval within [0, 1].
    """

    cheap: Verifier
    dear: Verifier
    low: float = 0.2
    high: float = 0.8

    def __post_init__(self) -> None:
        check_part("cheap", self.cheap)
        check_part("dear", self.dear)
        if not 0 <= self.low <= self.high <= 1:
            raise ConfigError(
                f"verifier.low is {self.low} and verifier.high is {self.high}; they must be"
                " 0 <= low <= high <= 1.",
                hint="Between them the dear verifier is asked: low=0.2, high=0.8, say.",
            )

    @property
    def inner(self) -> Mapping[str, Verifier]:
        """Both."""
        return {"cheap": self.cheap, "dear": self.dear}

    def identity(self) -> Mapping[str, Any]:
        """What decides the scores of both, and the thresholds."""
        return {
            "verifier": "cascade",
            **identities(self.inner),
            "low": float(self.low),
            "high": float(self.high),
        }

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One probability a trajectory.

        Raises:
            VerifierError: One of the two gives rewards without bounds.
            TTSError: One of the two failed.
        """
        first = await self.cheap.score(problem, trajectories, ctx)
        chances = [chance("cheap", score) for score in first]
        doubtful = [i for i, value in enumerate(chances) if self.low <= value <= self.high]
        if doubtful:
            asked = [trajectories[i] for i in doubtful]
            second = await self.dear.score(problem, asked, ctx)
            for i, score in zip(doubtful, second, strict=True):
                chances[i] = chance("dear", score)
        return [Score(value, "probability") for value in chances]
