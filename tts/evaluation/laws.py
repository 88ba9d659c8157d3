"""Laws of accuracy against the number of samples, fitted to measured points.

Two laws: the power law of coverage over many problems of spread difficulty, and the saturating
curve of equally difficult ones. Knows counts and points, not runs.
Sources: Brown et al. 2024, "Large Language Monkeys" (coverage); Wang et al. 2025, "Scaling over
Scaling" (the test-time scaling performance model, for saturation); Efron & Tibshirani 1993, "An
Introduction to the Bootstrap" (intervals).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tts.errors import ConfigError
from tts.evaluation.estimators import misses
from tts.evaluation.statistics import Interval

Floats = NDArray[np.float64]

# A fit ends where doubles do: its start and its steps must not show in the figures.
_TOL = 1e-14


@dataclass(frozen=True, slots=True)
class CoverageLaw:
    """Coverage c(k) = exp(a k^b).

    Attributes:
        a: Below 0; exp(a) is the coverage of one sample.
        b: Below 0 where coverage rises; towards 0 it rises slowly.
        max_residual: Largest distance of a point from the law, in coverage.
        mean_residual: Mean distance of the points from the law, in coverage.
    """

    a: float
    b: float
    max_residual: float
    mean_residual: float

    def at(self, k: float) -> float:
        """Coverage of k samples, 0 to 1."""
        return math.exp(self.a * k**self.b)


@dataclass(frozen=True, slots=True)
class FittedCoverage:
    """A coverage law with what the choice of problems leaves open.

    Attributes:
        law: Fitted to the mean over all problems.
        a: Its a with the percentile interval of the bootstrap over problems.
        b: Likewise.
        resamples: How many resamples a law could be fitted to.
    """

    law: CoverageLaw
    a: Interval
    b: Interval
    resamples: int


@dataclass(frozen=True, slots=True)
class Saturation:
    """Accuracy F(N) = limit (1 - (1 - p)^N).

    All problems are taken to be equally difficult. Real coverage has a heavier tail, so that
    `enough` is optimistic.

    Attributes:
        limit: What no number of samples exceeds, above 0, at most 1.
        p: Chance that one more sample succeeds, above 0, at most 1.
        max_residual: Largest distance of a point from the curve; 0 if nothing was fitted.
    """

    limit: float
    p: float
    max_residual: float = 0.0

    def at(self, n: float) -> float:
        """Accuracy of n samples."""
        return float(self.limit * (1 - (1 - self.p) ** n))

    def gain(self, n: int) -> float:
        """What sample n + 1 adds to the accuracy of n."""
        return self.limit * self.p * (1 - self.p) ** n

    def enough(self, least: float) -> int:
        """The fewest samples after which one more adds at most `least`.

        Raises:
            ConfigError: `least` is not above 0.
        """
        if not least > 0:
            raise ConfigError(f"least: a gain of {least} is never reached; it must be above 0.")
        if self.gain(0) <= least:
            return 0
        if self.p == 1:
            return 1
        # Rounding must not ask for a sample more where the quotient is whole.
        return math.ceil(math.log(least / self.gain(0)) / math.log1p(-self.p) - 1e-9)


def log_grid(largest: int, per_octave: int = 1) -> list[int]:
    """Whole numbers from 1 to `largest`, evenly spaced in their logarithm.

    Args:
        largest: At least 1; the last one.
        per_octave: How many in each doubling, at least 1.
    """
    if largest < 1 or per_octave < 1:
        raise ConfigError("largest and per_octave: a grid needs at least 1 of each.")
    steps = range(math.floor(per_octave * math.log2(largest)) + 1)
    return sorted({round(2 ** (i / per_octave)) for i in steps} | {largest})


def fit_coverage(coverage: Mapping[int, float]) -> CoverageLaw:
    """Fit the power law to points by least squares in coverage.

    The start is the line of ln(-ln c) over ln k. Points of coverage 0 or 1 are dropped.

    Args:
        coverage: By number of samples, 0 to 1; two points strictly between at the least.

    Raises:
        ConfigError: Fewer than two points are left.
    """
    points = {k: c for k, c in coverage.items() if 0 < c < 1}
    if len(points) < 2:
        raise ConfigError(
            "coverage: a law needs two points above 0 and below 1.",
            hint="Take more values of k, or more problems.",
        )
    k, c = np.array(list(points), dtype=np.float64), np.array(list(points.values()))
    a, b = _power_law(k, c)
    residuals = np.abs(np.exp(a * k**b) - c)
    return CoverageLaw(a, b, float(residuals.max()), float(residuals.mean()))


def fit_coverage_of(
    counts: Sequence[tuple[int, int]],
    ks: Sequence[int],
    *,
    resamples: int = 500,
    seed: int = 0,
    level: float = 0.95,
) -> FittedCoverage:
    """Fit the power law to unbiased pass@k, with intervals by the bootstrap over problems.

    Args:
        counts: By problem, samples and right ones among them.
        ks: Numbers of samples, as from `log_grid`; at most the least number of samples.
        resamples: Of the problems; those too flat for any law are left out.
        seed: Of the resampling.
        level: Coverage of the intervals, above 0 and below 1.

    Raises:
        ConfigError: No law can be fitted, or k exceeds a problem's samples.
    """
    if not counts:
        raise ConfigError("counts: a law needs at least one problem.")
    tables = {(n, k): 1 - misses(n, k) for n in {n for n, _ in counts} for k in ks}
    covered = np.array([[tables[n, k][c] for k in ks] for n, c in counts])
    law = fit_coverage(dict(zip(ks, covered.mean(0).tolist(), strict=True)))
    rng, found = np.random.default_rng(seed), []
    for _ in range(resamples):
        means = covered[rng.integers(len(counts), size=len(counts))].mean(0)
        inside = (means > 0) & (means < 1)
        if inside.sum() >= 2:
            found.append(_power_law(np.array(ks, dtype=np.float64)[inside], means[inside]))
    if not found:
        raise ConfigError("counts: no resample of the problems has a law.", hint="Take more.")
    ends = np.quantile(np.array(found), [(1 - level) / 2, (1 + level) / 2], axis=0)
    a, b = (
        Interval(value, float(low), float(high))
        for value, low, high in zip((law.a, law.b), ends[0], ends[1], strict=True)
    )
    return FittedCoverage(law, a, b, len(found))


def fit_saturation(accuracy: Mapping[int, float]) -> Saturation:
    """Fit the saturating curve to points by least squares.

    Args:
        accuracy: By number of samples, 0 to 1; two points at the least, one of them above 0.

    Raises:
        ConfigError: There are fewer than two points, or all are 0.
    """
    from scipy.optimize import least_squares

    if len(accuracy) < 2 or max(accuracy.values()) <= 0:
        raise ConfigError("accuracy: a curve needs two points, not all of them 0.")
    n, f = np.array(list(accuracy), dtype=np.float64), np.array(list(accuracy.values()))
    tiny = 1e-12

    def residuals(x: Floats) -> Floats:
        gaps: Floats = x[0] * -np.expm1(n * np.log1p(-x[1])) - f
        return gaps

    ends, top = ([tiny, tiny], [1.0, 1.0 - tiny]), min(1.0, float(f.max()))
    fits = [
        least_squares(residuals, (top, p), bounds=ends, xtol=_TOL, ftol=_TOL, gtol=_TOL)
        for p in (0.01, 0.1, 0.5)
    ]
    best = min(fits, key=lambda fit: float(fit.cost))
    return Saturation(float(best.x[0]), float(best.x[1]), float(np.abs(best.fun).max()))


def _power_law(k: Floats, c: Floats) -> tuple[float, float]:
    """The a and b of least squares; k and c of shape (points,), c above 0 and below 1."""
    from scipy.optimize import least_squares

    def residuals(x: Floats) -> Floats:
        # ln(-a) is fitted in place of a, which keeps a below 0.
        with np.errstate(over="ignore"):  # a step too far has a coverage of 0
            gaps: Floats = np.exp(-np.exp(x[0]) * k ** x[1]) - c
        return gaps

    slope, intercept = np.polyfit(np.log(k), np.log(-np.log(c)), 1)
    start = (float(intercept), float(slope))
    fit = least_squares(residuals, start, xtol=_TOL, ftol=_TOL, gtol=_TOL)
    return -math.exp(fit.x[0]), float(fit.x[1])
