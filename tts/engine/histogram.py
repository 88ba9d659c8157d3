"""Durations in buckets, as Prometheus keeps them: constant memory, and cheap to add to."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

BOUNDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0,
    250.0, 500.0, 1000.0,
)  # fmt: skip
"""Upper bounds of the buckets, in seconds; the last bucket has none."""


class Histogram:
    """How often which durations occurred.

    Attributes:
        counts: Durations in each bucket: above the bound before, and up to its own. One more than
            there are `BOUNDS`.
        sum: Of all durations, in seconds.
    """

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count a duration; one that two clocks make negative is none at all."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    @property
    def count(self) -> int:
        """Durations that were counted."""
        return sum(self.counts)

    def quantile(self, part: float) -> float:
        """The duration below which a part of all lies; see `quantile`."""
        return quantile(BOUNDS, self.counts, part)


def quantile(bounds: Sequence[float], counts: Sequence[float], part: float) -> float:
    """A quantile of what was counted in buckets, even within each, as Prometheus works it out.

    Args:
        bounds: Upper bounds of all buckets but the last, rising; the first begins at 0.
        counts: In each bucket, one more than there are bounds.
        part: 0 to 1.

    Returns:
        The quantile; the largest bound if it lies in the last bucket, NaN if nothing was counted.
    """
    total = sum(counts)
    if total <= 0:
        return math.nan
    rank, below, floor = part * total, 0.0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count > 0 and below + count >= rank:
            return floor + (bound - floor) * max(0.0, rank - below) / count
        below += count
        floor = bound
    return floor
