"""When a candidate is given up before it has been measured to its end.

After some pieces the mean of a candidate's log ratios has a standard error. If it is behind the
best one by more than a few of them, more pieces would hardly change the order. The spread of a
piece is not known from two or three of them, so that of all candidates is pooled, together with a
guess that counts as much as a few pieces.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

_GUESS, _WEIGHT = 0.05, 4.0  # a spread of 5% from piece to piece, as if seen in four pieces
_ERRORS = 2.0  # standard errors that a loser is behind
LEAST = 2
"""Pieces that every candidate gets."""


def spread(measured: Iterable[Sequence[float]]) -> float:
    """Standard deviation of a candidate's log ratio from piece to piece, pooled over candidates.

    Args:
        measured: Log ratios by piece, of each candidate.
    """
    squares, freedom = _WEIGHT * _GUESS**2, _WEIGHT
    for values in measured:
        if len(values) > 1:
            mean = math.fsum(values) / len(values)
            squares += math.fsum((value - mean) ** 2 for value in values)
            freedom += len(values) - 1
    return math.sqrt(squares / freedom)


def is_behind(values: Sequence[float], best: float, deviation: float) -> bool:
    """Whether a candidate is clearly behind.

    Args:
        values: Its log ratios so far.
        best: The mean log ratio of the best candidate that was measured to its end.
        deviation: Of one log ratio from piece to piece, above 0.
    """
    if len(values) < LEAST:
        return False
    mean = math.fsum(values) / len(values)
    return mean + _ERRORS * deviation / math.sqrt(len(values)) < best
