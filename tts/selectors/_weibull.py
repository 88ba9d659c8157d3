"""A mixture of two Weibull distributions, fitted by maximum likelihood.

Pure. Knows nothing of answers. With shape k and scale λ a component has the density
(k/λ) (x/λ)^(k-1) exp(-(x/λ)^k) and the mean λ Γ(1 + 1/k).

Source: Zhou et al. 2025, "Bridging Internal Probability and Self-Consistency for Effective and
Efficient LLM Reasoning" (RPC), with the start and the bounds of its published program, and a second
start from the two halves of the data: of the two fits the likelier is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

FEWEST = 10
"""Values that a fit takes at least: two for each of its parameters."""

_START = (0.5, 1.0, 1.0, 1.5, 2.0)
_SHARES = (0.2, 0.8)
_LEAST = 0.01  # of shapes and scales
_SHARPEST = 1000.0  # of shapes
_PATIENCE = 1000  # evaluations
_SPREAD = 1e-3  # of the values, relative to the largest: below it they are as good as equal


@dataclass(frozen=True, slots=True)
class Mixture:
    """Two Weibull distributions.

    Attributes:
        share: Of the first, 0 to 1.
        shapes: Of both, above 0.
        scales: Of both, above 0.
    """

    share: float
    shapes: tuple[float, float]
    scales: tuple[float, float]

    @property
    def means(self) -> tuple[float, float]:
        """Of both."""
        one, two = zip(self.scales, self.shapes, strict=True)
        return one[0] * math.gamma(1 + 1 / one[1]), two[0] * math.gamma(1 + 1 / two[1])

    def likelihood(self, values: Sequence[float]) -> float:
        """Log-likelihood of some values, in nats."""
        return float(np.logaddexp(*self._weighted(values)).sum())

    def in_the_lower(self, values: Sequence[float]) -> list[bool]:
        """For each value whether it is likelier to come from the one of lower mean."""
        first, second = self._weighted(values)
        lower, upper = (first, second) if self.means[0] < self.means[1] else (second, first)
        return [bool(each) for each in lower > upper]

    def _weighted(self, values: Sequence[float]) -> tuple[Array, Array]:
        """Logarithms of share times density, for both."""
        (k1, k2), (l1, l2) = self.shapes, self.scales
        logs = _logs(values)
        first = np.log(self.share) + _log_density(k1, l1, logs)[0]
        return first, np.log1p(-self.share) + _log_density(k2, l2, logs)[0]


def fit(values: Sequence[float]) -> Mixture | None:
    """The mixture that makes some values the likeliest.

    Args:
        values: Any number of them, at least 0. One of 0 counts as the least that a float can be.

    Returns:
        None where a fit would not be stable: values that are fewer than ten or nearly equal, or a
        fit that does not converge, or in which one of the two stands for fewer than two values (a
        spike on one value has a likelihood without bound).
    """
    from scipy.optimize import minimize

    if len(values) < FEWEST or max(values) - min(values) <= _SPREAD * max(values):
        return None
    logs = np.sort(_logs(values))  # sums must not depend on the order in which samples arrive
    bounds = [_SHARES, *[(_LEAST, _SHARPEST), (_LEAST, None)] * 2]
    starts: tuple[Array, Array] = (np.array(_START), _halves(np.exp(logs)))
    # TNC calls no BLAS: threads that wait for each other would cost far more than this work.
    tries = [
        minimize(
            _cost,
            start,
            args=(logs,),
            jac=True,
            bounds=bounds,
            method="TNC",
            options={"maxfun": _PATIENCE},
        )
        for start in starts
    ]
    converged = [t for t in tries if t.success and math.isfinite(t.fun)]
    if not converged:
        return None
    share, k1, l1, k2, l2 = (float(x) for x in min(converged, key=lambda t: float(t.fun)).x)
    found = Mixture(share, (k1, k2), (l1, l2))
    lower = sum(found.in_the_lower(values))
    return found if 2 <= lower <= len(values) - 2 else None


def _logs(values: Sequence[float]) -> Array:
    data = np.asarray(values, dtype=float)
    logs: Array = np.log(np.maximum(data, np.finfo(float).tiny))
    return logs


def _log_density(k: float, scale: float, logs: Array) -> tuple[Array, Array, Array]:
    """Logarithm of a density at values with these logarithms, and its slopes in shape and scale."""
    u = logs - np.log(scale)
    power = np.exp(np.minimum(k * u, 50.0))  # beyond that the density is none
    density = np.log(k) - np.log(scale) + (k - 1) * u - power
    return density, 1 / k + u - power * u, (k / scale) * (power - 1)


def _cost(theta: Array, logs: Array) -> tuple[float, Array]:
    """Minus the mean log-likelihood, and its gradient."""
    share = theta[0]
    one, *slopes_one = _log_density(theta[1], theta[2], logs)
    two, *slopes_two = _log_density(theta[3], theta[4], logs)
    first, second = np.log(share) + one, np.log1p(-share) + two
    total = np.logaddexp(first, second)
    mine, other = np.exp(first - total), np.exp(second - total)
    gradient = [
        (mine / share - other / (1 - share)).mean(),
        *((mine * slope).mean() for slope in slopes_one),
        *((other * slope).mean() for slope in slopes_two),
    ]
    return -float(total.mean()), -np.array(gradient)


def _halves(data: Array) -> Array:
    """A start: the values below their mean and those above it, each with the moments it has."""
    low = data[data < data.mean()]
    parts = []
    for half in (low, data[data >= data.mean()]):
        mean = float(half.mean())
        spread = max(float(half.std()) / mean, 0.01)
        shape = spread**-1.086  # Justus' rule, near enough for a start
        parts += [shape, max(mean / math.gamma(1 + 1 / shape), _LEAST)]
    share = float(np.clip(len(low) / len(data), *_SHARES))
    return np.array([share, *parts])
