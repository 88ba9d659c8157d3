"""What came of a candidate, in a form that can be kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from tts.tuning.engine.knobs import Point
from tts.tuning.engine.readings import ratio

Status = Literal["measured", "stopped", "infeasible", "failed"]


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a candidate.

    Attributes:
        name: Of the candidate.
        point: Values of knobs.
        status: Measured to the end, stopped as it was clearly behind, infeasible (not started), or
            failed (started in vain, or died).
        reason: Why it was not measured; empty if it was.
        ratios: By piece, what it is worth over the defaults; empty if it was not measured.
        value: In the unit of the objective, all pieces together; None if it was not measured.
        throughput: Completion tokens a second; None likewise.
        latencies: Median and 95th percentile of the seconds of a problem; None likewise.
        answers: Problems that the defaults have answered too.
        differing: How many of these have another answer.
        seconds: That it all took, start included.
    """

    name: str
    point: Point
    status: Status
    reason: str = ""
    ratios: tuple[float, ...] = ()
    value: float | None = None
    throughput: float | None = None
    latencies: tuple[float, float] | None = None
    answers: int = 0
    differing: int = 0
    seconds: float = 0.0

    @property
    def ratio(self) -> float:
        """What it is worth over the defaults: the geometric mean over pieces, at least one."""
        return ratio(self.ratios, [1.0] * len(self.ratios))

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Out of JSON types."""
        pair = document["latencies"]
        changed = {"ratios": tuple(document["ratios"]), "latencies": pair and tuple(pair)}
        return cls(**{**document, **changed})
