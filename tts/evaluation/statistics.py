"""Accuracies and paired differences over problems, with intervals and tests in closed form.

Knows outcomes by problem, not where they come from. Nothing here draws at random: the percentile
interval of the bootstrap over problems is computed from the exact distribution of all resamples
(see `_lattice`), and the paired test counts all flips of signs.

The unit is the problem. What is resampled are whole problems, each with all its repeats, so that
an interval covers both sources of variation: which problems were drawn, and what was sampled on
each of them (the spread of the problems' means contains both). Resampling the repeats within a
drawn problem as well would count the second source twice.
Sources: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3 (percentile
interval); Davison & Hinkley 1997, "Bootstrap Methods and their Application", section 3.8 (groups
are resampled whole); McNemar 1947 in its exact form; Good 2005, "Permutation, Parametric and
Bootstrap Tests of Hypotheses" (sign flips).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tts.evaluation._lattice import flipped_sum_beyond, on_lattice, quantiles, resampled_sum

Outcomes = Mapping[str, Sequence[float]]
"""By problem, one outcome a repeat: 0 (wrong) to 1 (right)."""


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
        n: Problems that have an outcome in both.
        difference: Accuracy of the arm minus that of the reference, -1 to 1, with its interval.
        wins: Problems on which the arm's mean is higher.
        losses: Problems on which the reference's mean is higher.
        p_value: Of equal accuracies, two-sided: exact McNemar test with one repeat, exact sign-flip
            test of the problems' differences with several; 1 if the arms never differ.
    """

    n: int
    difference: Interval
    wins: int
    losses: int
    p_value: float


def accuracy(outcomes: Outcomes, *, level: float = 0.95) -> Interval | None:
    """Mean over the problems of the mean over their repeats, with its interval.

    The interval is the percentile interval of the bootstrap over whole problems. It says how the
    accuracy would vary with other problems of the same kind and other samples.

    Args:
        outcomes: The numbers of repeats may differ; a problem without any is left out.
        level: Coverage, above 0 and below 1.

    Returns:
        None if there are no problems.
    """
    means = {p: _mean(repeats) for p, repeats in outcomes.items() if repeats}
    if not means:
        return None
    repeats = {len(outcomes[p]) for p in means}
    return bootstrap(list(means.values()), repeats, bounds=(0.0, 1.0), level=level)


def differences(arm: Outcomes, reference: Outcomes) -> dict[str, float]:
    """Mean of the arm minus mean of the reference, by problem; those with outcomes in both.

    The order is that of the arm.
    """
    shared = [p for p in arm if arm[p] and reference.get(p)]
    return {p: _mean(arm[p]) - _mean(reference[p]) for p in shared}


def compare(arm: Outcomes, reference: Outcomes, *, level: float = 0.95) -> Comparison | None:
    """Compare two arms problem by problem.

    Args:
        arm: Outcomes by problem.
        reference: Outcomes by problem; problems in both count.
        level: Coverage of the interval, above 0 and below 1.

    Returns:
        None if they share no problem.
    """
    paired = differences(arm, reference)
    if not paired:
        return None
    values = list(paired.values())
    repeats = {len(side[p]) for side in (arm, reference) for p in paired}
    wins, losses = sum(d > 0 for d in values), sum(d < 0 for d in values)
    single = all(abs(d) in (0, 1) for d in values)
    return Comparison(
        n=len(values),
        difference=bootstrap(values, repeats, bounds=(-1.0, 1.0), level=level),
        wins=wins,
        losses=losses,
        p_value=mcnemar(wins, losses) if single else sign_flip(values, repeats),
    )


def ratio(arm: Outcomes, reference: Outcomes, *, level: float = 0.95) -> Interval:
    """Mean cost of an arm over that of a reference, on the problems of both, with its interval.

    The interval is Fieller's (1954, "Some Problems in Interval Estimation"): all ratios r for which
    the paired mean of `arm - r * reference` does not differ from zero by the t-test. It is open
    upwards (infinite) where the reference's cost itself cannot be told from zero.

    Args:
        arm: By problem, one cost a repeat, at least 0.
        reference: Likewise; problems in both count, at least one.
        level: Coverage, above 0 and below 1.
    """
    from scipy.stats import t  # takes a second to import

    shared = list(differences(arm, reference))
    costs = np.array([[_mean(side[p]) for p in shared] for side in (arm, reference)])
    top, bottom = costs.mean(axis=1)
    if not bottom:
        return Interval(math.inf if top else math.nan, 0.0, math.inf)
    n = len(shared)
    if n == 1:
        return Interval(top / bottom, 0.0, math.inf)
    # The ends are the roots of a r^2 - 2 b r + c.
    spread = t.ppf((1 + level) / 2, n - 1) ** 2 * np.cov(costs) / n
    a, b, c = bottom**2 - spread[1, 1], top * bottom - spread[0, 1], top**2 - spread[0, 0]
    if a <= 0:
        return Interval(top / bottom, 0.0, math.inf)
    half = math.sqrt(max(0.0, b**2 - a * c))
    return Interval(float(top / bottom), max(0.0, float(b - half) / a), float(b + half) / a)


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p-value of the hypothesis that wins and losses are equally likely.

    Args:
        wins: Problems that only the one solved, at least 0.
        losses: Problems that only the other solved, at least 0.
    """
    from scipy.stats import binomtest  # takes a second to import

    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def sign_flip(values: Sequence[float], repeats: Iterable[int] = (1,)) -> float:
    """Exact two-sided p-value of the hypothesis that each difference is as likely as its negative.

    With differences of -1, 0 and 1 it is McNemar's. Differences that are no multiples of one over
    the common multiple of the repeats (graded outcomes) are rounded first; the test is then exact
    for the rounded ones.

    Args:
        values: One paired difference a problem.
        repeats: The numbers of repeats behind them.
    """
    return flipped_sum_beyond(on_lattice(np.array(values, dtype=np.float64), repeats)[0])


def bootstrap(
    values: Sequence[float],
    repeats: Iterable[int] = (1,),
    *,
    bounds: tuple[float, float],
    level: float = 0.95,
) -> Interval:
    """Percentile interval of the mean under resampling of problems.

    Exact where the values are multiples of one over the common multiple of the repeats. Others are
    rounded to a fine lattice for the spread alone, which moves an end by less than a step over the
    square root of n.

    Where all values are the same a bootstrap knows no spread at all. Then the exact binomial bound
    on the share of problems with another value (Clopper & Pearson 1934) takes its place, those
    problems taken to be as far off as the bounds allow.

    Args:
        values: One a problem, at least one.
        repeats: The numbers of repeats behind them.
        bounds: Least and largest possible value.
        level: Coverage, above 0 and below 1.
    """
    n, mean = len(values), math.fsum(values) / len(values)
    steps, scale = on_lattice(np.array(values, dtype=np.float64), repeats)
    if steps.min() == steps.max():
        other = 1 - ((1 - level) / 2) ** (1 / n)
        return Interval(mean, mean - other * (mean - bounds[0]), mean + other * (bounds[1] - mean))
    least, law = resampled_sum(steps)
    drift = mean - int(steps.sum()) / (n * scale)
    ends = quantiles(law, ((1 - level) / 2, (1 + level) / 2))
    low, high = ((least + end) / (n * scale) + drift for end in ends)
    return Interval(mean, max(bounds[0], low), min(bounds[1], high))


def _mean(repeats: Sequence[float]) -> float:
    return math.fsum(repeats) / len(repeats)
