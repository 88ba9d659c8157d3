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

    Args:
        correct: One outcome a problem.
        level: Coverage, above 0 and below 1.

    Returns:
        None if there are no problems.
    """
    hits = sum(correct)
    if not correct:
        return None
    interval = _interval((0, len(correct) - hits, hits), level)
    return Interval(interval.mean, max(0.0, interval.low), interval.high)


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
    difference = _interval((losses, len(shared) - wins - losses, wins), level)
    return Comparison(len(shared), difference, wins, losses, mcnemar(wins, losses))


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p-value of the hypothesis that wins and losses are equally likely.

    Args:
        wins: Problems that only the one solved, at least 0.
        losses: Problems that only the other solved, at least 0.
    """
    from scipy.stats import binomtest  # takes a second to import

    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def _interval(counts: tuple[int, int, int], level: float) -> Interval:
    """Interval of the mean of outcomes -1, 0 and 1, given how often each occurred.

    Where all outcomes are the same a bootstrap knows no spread at all. Then the exact binomial
    bound on the share of problems with another outcome (Clopper & Pearson 1934) takes its place.
    """
    n = sum(counts)
    if max(counts) == n:
        other = 1 - ((1 - level) / 2) ** (1 / n)
        mean = float(counts.index(n) - 1)
        return Interval(mean, max(-1.0, mean - other), min(1.0, mean + other))
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
