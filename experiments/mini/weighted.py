"""Statistics of weighted observations, and their intervals when whole groups are resampled.

A statistic is prepared once for its observations and then asked under many weights: how often each
observation counts. So a bootstrap over problems, whose answers and positions come and go together,
sorts nothing twice. Weights of 1 give the plain statistic.
Sources: Hanley & McNeil 1982 (area under the curve); Guo et al. 2017, "On Calibration of Modern
Neural Networks" (expected calibration error); Davison & Hinkley 1997, section 3.8 (groups are
resampled whole).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tts.evaluation.statistics import Interval

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Statistic = Callable[[Floats], float]
"""From one weight an observation, at least 0, to a number; not a number where there is none."""

BINS = 10
"""Of equal width, for calibration."""


def auc(scores: Floats, right: Booleans) -> Statistic:
    """Chance that a right observation has a higher score than a wrong one; ties count half.

    Args:
        scores: Shape (n,).
        right: Shape (n,).
    """
    _, places = np.unique(scores, return_inverse=True)

    def statistic(weights: Floats) -> float:
        hits = np.bincount(places, weights * right)
        misses = np.bincount(places, weights * ~right)
        below = np.cumsum(misses) - misses / 2
        return _ratio(float(hits @ below), float(hits.sum() * misses.sum()))

    return statistic


def pearson(x: Floats, y: Floats) -> Statistic:
    """Pearson's correlation of observations of shape (n,)."""
    return lambda weights: _correlation(x, y, weights)


def spearman(x: Floats, y: Floats) -> Statistic:
    """Spearman's correlation of observations of shape (n,): Pearson's of their ranks."""
    first, second = (np.unique(values, return_inverse=True)[1] for values in (x, y))
    return lambda weights: _correlation(_ranks(first, weights), _ranks(second, weights), weights)


def calibration_error(scores: Floats, right: Booleans) -> Statistic:
    """Mean distance of scores from shares of right ones, over bins of equal width.

    Args:
        scores: Probabilities, shape (n,).
        right: Shape (n,).
    """
    places, gaps = bins(scores), scores - right

    def statistic(weights: Floats) -> float:
        return _ratio(
            float(np.abs(np.bincount(places, weights * gaps)).sum()), float(weights.sum())
        )

    return statistic


def share(chosen: Booleans, among: Booleans) -> Statistic:
    """Share of the chosen ones among some of the observations, all of shape (n,)."""
    both = chosen & among
    return lambda weights: _ratio(float(weights @ both), float(weights @ among))


def average(values: Floats) -> Statistic:
    """The mean of values of shape (n,)."""
    return lambda weights: _ratio(float(weights @ values), float(weights.sum()))


def bins(scores: Floats) -> NDArray[np.int64]:
    """The bin of each probability, 0 to `BINS` - 1; shape (n,)."""
    return np.minimum((scores * BINS).astype(np.int64), BINS - 1)


@dataclass(frozen=True)
class Resampling:
    """A bootstrap over groups.

    Attributes:
        groups: The group of each observation, from 0; shape (n,).
        resamples: How often the groups are drawn anew.
        seed: Of the draws.
    """

    groups: NDArray[np.int64]
    resamples: int = 1000
    seed: int = 0

    def __call__(self, statistic: Statistic) -> Interval:
        """The plain statistic and its 95% percentile interval over the groups.

        Resamples in which it is no number are left out; if it is none at all, neither are the ends.
        """
        values = np.array([statistic(times[self.groups]) for times in self._drawn])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All-NaN slice")
            low, high = np.nanpercentile(values, (2.5, 97.5))
        return Interval(statistic(np.ones(len(self.groups))), float(low), float(high))

    @cached_property
    def _drawn(self) -> Floats:
        """How often each group is drawn in each resample, shape (resamples, groups)."""
        rng, count = np.random.default_rng(self.seed), int(self.groups.max()) + 1
        counts = rng.multinomial(count, np.full(count, 1 / count), size=self.resamples)
        return counts.astype(np.float64)


def _ranks(places: NDArray[np.int64], weights: Floats) -> Floats:
    """Mean ranks under weights, of observations given by the places of their values."""
    counts = np.bincount(places, weights)
    return (np.cumsum(counts) - counts / 2)[places]


def _correlation(x: Floats, y: Floats, weights: Floats) -> float:
    total = weights.sum()
    x, y = x - weights @ x / total, y - weights @ y / total
    spread = (weights @ x**2) * (weights @ y**2)
    return _ratio(float(weights @ (x * y)), float(np.sqrt(spread)))


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else float("nan")
