"""Curves from a verifier's raw scores to the share of answers that are right.

Pure, and light: how they are fitted is the business of `tts.verifiers.fitting`. Sources: Zadrozny &
Elkan 2002, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates"
(isotonic); Platt 1999, "Probabilistic Outputs for Support Vector Machines" (the sigmoid).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tts.types import Scale

Method = Literal["isotonic", "platt"]
_EDGE = 1e-6  # probabilities nearer to 0 or 1 count as this near


class Isotonic(BaseModel):
    """The rising steps that fit best, joined by straight lines; level beyond both ends.

    Answers on one step tie afterwards, which a selector by best score must live with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["isotonic"] = Field(default="isotonic", description="Which curve.")
    xs: tuple[float, ...] = Field(min_length=1, description="Raw scores, rising.")
    ys: tuple[float, ...] = Field(min_length=1, description="Shares of right answers, rising.")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if len(self.xs) != len(self.ys):
            raise ValueError("xs and ys differ in length")
        if not all(a < b for a, b in pairwise(self.xs)):
            raise ValueError("xs must rise")
        if not all(a <= b for a, b in pairwise((0.0, *self.ys, 1.0))):
            raise ValueError("ys must rise from 0 to 1")
        return self

    def chances(self, raws: Sequence[float]) -> list[float]:
        """The chance of being right that belongs to each raw score."""
        return [self._at(raw) for raw in raws]

    def _at(self, raw: float) -> float:
        above = bisect_right(self.xs, raw)
        if above in (0, len(self.xs)):
            return self.ys[max(above - 1, 0)]
        (x, z), (low, high) = self.xs[above - 1 : above + 1], self.ys[above - 1 : above + 1]
        return min(high, low + (high - low) * ((raw - x) / (z - x)))


class Platt(BaseModel):
    """A sigmoid of the raw score, or of its logit where it is a probability. Keeps the order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["platt"] = Field(default="platt", description="Which curve.")
    scale: Scale = Field(description="Of the raw scores.")
    slope: float = Field(allow_inf_nan=False, description="Of the logit.")
    offset: float = Field(
        allow_inf_nan=False, description="Logit where the straightened score is 0."
    )

    def chances(self, raws: Sequence[float]) -> list[float]:
        """The chance of being right that belongs to each raw score."""
        lines = (self.slope * straight(raw, self.scale) + self.offset for raw in raws)
        return [0.5 * (1 + math.tanh(0.5 * line)) for line in lines]


def straight(raw: float, scale: Scale) -> float:
    """A score that may be anything: a probability's logit, others as they are."""
    if scale != "probability":
        return raw
    inside = min(max(raw, _EDGE), 1 - _EDGE)
    return math.log(inside) - math.log1p(-inside)
