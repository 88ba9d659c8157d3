"""Means over windows of a chain, and what they make of a whole answer.

Pure. Knows no tokens: values of any kind, of which a low one is a bad one.

Source: Fu et al. 2025, "Deep Think with Confidence" (DeepConf).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Measure = Literal["mean", "tail", "bottom", "lowest"]

BOTTOM = 0.1
"""Share of the groups that the score `bottom` is taken over."""

_UNIT = 1 << 40  # sums are of whole numbers: exact, in whatever pieces they are taken


@dataclass(slots=True, eq=False)
class Window:
    """A sliding window over confidences; each further one costs O(1).

    Args:
        size: Tokens, at least 1.
    """

    size: int
    _held: deque[int] = field(default_factory=deque)
    _sum: int = 0

    def add(self, value: float) -> float | None:
        """Take in one more; the mean of the last `size`, or None as long as there are fewer."""
        self._held.append(_whole(value))
        self._sum += self._held[-1]
        if len(self._held) > self.size:
            self._sum -= self._held.popleft()
        return self._sum / (self.size * _UNIT) if len(self._held) == self.size else None

    def lowest(self, values: Iterable[float]) -> float:
        """Take in some more; the lowest of the means that there are after each, inf for none."""
        means = map(self.add, values)
        return min((mean for mean in means if mean is not None), default=math.inf)


def groups(values: Sequence[float], size: int) -> list[float]:
    """Means of all windows of `size` values; of fewer values, the mean of what is there."""
    window = Window(size)
    full = [mean for value in values if (mean := window.add(value)) is not None]
    return full or [_mean(values)]


def score_of(values: Sequence[float], score: Measure, size: int) -> float:
    """What the values of its tokens make of a whole answer, in their unit; 0 for an empty one.

    Args:
        values: Of its tokens.
        score: `mean` over all tokens; `tail`, over the last `size`; `bottom`, the mean of the
            lowest tenth of the windows of `size` tokens (of at least one); `lowest`, the lowest.
        size: Of a window; what is shorter is one window.
    """
    if score == "mean":
        return _mean(values)
    if score == "tail":
        return _mean(values[-size:])
    ordered = sorted(groups(values, size))
    return ordered[0] if score == "lowest" else _mean(ordered[: max(1, int(len(ordered) * BOTTOM))])


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of some values lies, between neighbours by a straight line.

    Args:
        values: At least one.
        share: 0 (the least of them) to 1 (the largest).
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = min(int(place), len(ordered) - 1)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return min(high, low + (high - low) * (place - below))


def _whole(value: float) -> int:
    return round(value * _UNIT)


def _mean(values: Sequence[float]) -> float:
    return sum(map(_whole, values)) / (len(values) * _UNIT) if values else 0.0
