"""Intervals and tests over problems, in closed form: no random resampling, no noise of its own.

Every outcome here is one of few values (right or wrong; better, equal or worse), so the bootstrap
over problems needs no random draws: the sum over n problems drawn with replacement has the n-fold
convolution of the observed frequencies as its distribution, which is what resampling converges to.
Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", sections 13.3 (percentile
interval); McNemar 1947 in its exact form for the paired test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an arm compares with a reference on the same problems.

    Attributes:
        n: Problems on which neither failed.
        difference: Accuracy of the arm minus that of the reference, -1 to 1, with its interval.
        wins: Problems that only the arm solved.
        losses: Problems that only the reference solved.
        p_value: Exact McNemar test of equal accuracies, two-sided; 1 if they never differ.
    """

    n: int
    difference: Interval
    wins: int
    losses: int
    p_value: float


def accuracy(correct: Sequence[bool], *, level: float = 0.95) -> Interval | None:
    """Accuracy with the percentile interval of the bootstrap over problems.

    Where all outcomes are the same a bootstrap knows no spread at all; then the exact binomial
    interval (Clopper & Pearson 1934) takes its place.

    Args:
        correct: One outcome a problem.
        level: Coverage, above 0 and below 1.

    Returns:
        None if there are no problems.
    """
    n, hits = len(correct), sum(correct)
    if n == 0:
        return None
    if hits in (0, n):
        edge = ((1 - level) / 2) ** (1 / n)
        return Interval(1.0, edge, 1.0) if hits else Interval(0.0, 0.0, 1 - edge)
    return _bootstrap((0, n - hits, hits), level)


def compare(
    arm: Mapping[str, bool], reference: Mapping[str, bool], *, level: float = 0.95
) -> Comparison | None:
    """Compare two arms problem by problem.

    Args:
        arm: Outcome by problem.
        reference: Outcome by problem; those in both count.
        level: Coverage of the interval, above 0 and below 1.

    Returns:
        None if they share no problem.
    """
    shared = arm.keys() & reference.keys()
    if not shared:
        return None
    wins = sum(arm[p] and not reference[p] for p in shared)
    losses = sum(reference[p] and not arm[p] for p in shared)
    difference = _bootstrap((losses, len(shared) - wins - losses, wins), level)
    return Comparison(len(shared), difference, wins, losses, mcnemar(wins, losses))


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p-value of the hypothesis that wins and losses are equally likely.

    Args:
        wins: Problems that only the one solved, at least 0.
        losses: Problems that only the other solved, at least 0.
    """
    from scipy.stats import binomtest  # takes a second to import

    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def _bootstrap(counts: tuple[int, int, int], level: float) -> Interval:
    """Percentile interval of the mean of outcomes -1, 0 and 1, given how often each occurred."""
    n = sum(counts)
    cumulative = np.cumsum(_convolved(counts))
    # Rounding errors of the transform are some 1e-16 a term; a quantile must not hang on them.
    slack = 1e-12
    low = int(np.searchsorted(cumulative, (1 - level) / 2 - slack)) - n
    high = int(np.searchsorted(cumulative, (1 + level) / 2 - slack)) - n
    return Interval((counts[2] - counts[0]) / n, low / n, high / n)


def _convolved(counts: tuple[int, int, int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Distribution of the sum of n draws with replacement, over -n to n; shape (2n + 1,)."""
    n = sum(counts)
    size = 2 * n + 1
    transform = np.fft.rfft(np.array(counts) / n, size) ** n
    return np.clip(np.fft.irfft(transform, size), 0.0, None)
