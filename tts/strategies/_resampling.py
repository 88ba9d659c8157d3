"""Resampling: weighted particles become as many with equal weights, the expectation kept.

Knows numbers only. Every scheme takes weights of any positive sum, how many indices to draw, and a
random stream, and gives indices of which `i` occurs `size * weights[i] / sum(weights)` times in
expectation. They differ in how far the counts stray from that. Source: Douc, Cappé & Moulines 2005,
"Comparison of Resampling Schemes for Particle Filtering". Lists and not arrays: a filter of
language has a hundred particles at most, and `import tts` stays light.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType

Resampler = Callable[[Sequence[float], int, random.Random], list[int]]
"""Weights (n of them, at least 0, not all 0), the number of draws, a random stream: indices."""


def multinomial(weights: Sequence[float], size: int, rng: random.Random) -> list[int]:
    """Independent draws."""
    return _invert(weights, [rng.random() for _ in range(size)])


def stratified(weights: Sequence[float], size: int, rng: random.Random) -> list[int]:
    """One draw in each of `size` equal slices of the unit interval: counts differ by below 2."""
    return _invert(weights, [(place + rng.random()) / size for place in range(size)])


def systematic(weights: Sequence[float], size: int, rng: random.Random) -> list[int]:
    """The same draw in every slice: each count is its expectation, rounded down or up."""
    offset = rng.random()
    return _invert(weights, [(place + offset) / size for place in range(size)])


def residual(weights: Sequence[float], size: int, rng: random.Random) -> list[int]:
    """Each as often as its expectation rounded down; independent draws by what is left over."""
    total = math.fsum(weights)
    expected = [size * weight / total for weight in weights]
    sure = [i for i, count in enumerate(expected) for _ in range(math.floor(count))]
    if len(sure) == size:
        return sure
    left = [count - math.floor(count) for count in expected]
    return sure + multinomial(left, size - len(sure), rng)


RESAMPLERS: Mapping[str, Resampler] = MappingProxyType(
    {
        "multinomial": multinomial,
        "systematic": systematic,
        "residual": residual,
        "stratified": stratified,
    }
)


def normalised(logs: Sequence[float]) -> list[float]:
    """Weights with sum 1 from their logarithms (-inf for none); all 0 if there are none at all."""
    top = max(logs)
    if top == -math.inf:
        return [0.0] * len(logs)
    weights = [math.exp(value - top) for value in logs]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def log_mean(logs: Sequence[float]) -> float:
    """Logarithm of the mean weight, from the logarithms of weights; -inf if all are 0."""
    top = max(logs)
    if top == -math.inf:
        return top
    return top + math.log(math.fsum(math.exp(value - top) for value in logs) / len(logs))


def effective_size(logs: Sequence[float]) -> float:
    """Effective sample size, from the logarithms of `n` weights.

    One over the sum of squares of the normalised weights: `n` if they are equal, 1 if all but one
    are 0, and 0 if all are. Source: Kong, Liu & Wong 1994, "Sequential Imputations and Bayesian
    Missing Data Problems".
    """
    squares = math.fsum(weight * weight for weight in normalised(logs))
    return 1 / squares if squares else 0.0


def _invert(weights: Sequence[float], points: Sequence[float]) -> list[int]:
    """Where points of [0, 1) fall in the cumulative weights; never on a weight of 0."""
    sums = list(accumulate(weights))
    last = max(i for i, weight in enumerate(weights) if weight > 0)
    return [min(bisect_right(sums, point * sums[-1]), last) for point in points]
