"""Exact bootstrap and permutation distributions of sums, by convolution: no random draws.

Problem means take few values (multiples of 1/r with r repeats), so they are whole numbers of some
small step. The sum of n problems drawn with replacement then has the n-fold convolution of the
observed frequencies as its distribution, which is what resampling converges to. Knows nothing of
arms, accuracies or verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# Steps that a sum may span: on a lattice that all values lie on, and on one they are rounded to.
_EXACT, _ROUNDED, _LEAST = 2**20, 2**17, 64
# Rounding errors of the transform are some 1e-16 a term; a quantile must not hang on them.
_SLACK = 1e-12


def on_lattice(values: Floats, denominators: Iterable[int]) -> tuple[Integers, int]:
    """Values as whole numbers of a step.

    Args:
        values: Shape (n,), at least one.
        denominators: The values should be multiples of one over their least common multiple.

    Returns:
        Whole numbers of shape (n,), and how many steps a unit has. Values that lie on no such
        lattice, or on one too fine, are rounded to the nearest step of a coarser one: 2^17 / n
        steps a unit, at least 64.
    """
    scale = math.lcm(*denominators)
    steps = np.rint(values * scale)
    if len(values) * scale > _EXACT or np.abs(values * scale - steps).max() > 1e-6:
        scale = max(_LEAST, _ROUNDED // len(values))
        steps = np.rint(values * scale)
    return steps.astype(np.int64), scale


def resampled_sum(steps: Integers) -> tuple[int, Floats]:
    """Distribution of the sum of n draws with replacement from n values.

    Args:
        steps: Whole numbers, shape (n,), at least one.

    Returns:
        The least possible sum, and the probabilities of it and of all sums up to the largest one.
    """
    n, least = len(steps), int(steps.min())
    share = np.bincount(steps - least) / n
    size = n * (len(share) - 1) + 1
    padded = 1 << (size - 1).bit_length()  # a transform of a prime length takes far longer
    transform = np.fft.rfft(share, padded) ** n
    return n * least, np.clip(np.fft.irfft(transform, padded)[:size], 0.0, None)


def quantiles(law: Floats, masses: Iterable[float]) -> list[int]:
    """The first places at which the cumulated probability reaches the given masses."""
    cumulative = np.cumsum(law)
    return [int(np.searchsorted(cumulative, mass - _SLACK)) for mass in masses]


def flipped_sum_beyond(steps: Integers) -> float:
    """Probability that the sum is at least as far from 0 if every sign is a fair coin.

    Exact to about 1e-12: the transform of the sum of the values ±m is the product of cos(m t).

    Args:
        steps: Whole numbers, shape (n,).
    """
    sizes, counts = np.unique(np.abs(steps[steps != 0]), return_counts=True)
    if not len(sizes):
        return 1.0
    span = int(sizes @ counts)
    angles = 2 * np.pi * np.arange(span + 1) / (2 * span + 1)
    transform = np.ones(span + 1)
    for size, count in zip(sizes, counts, strict=True):
        transform *= np.cos(size * angles) ** count
    law = np.clip(np.fft.irfft(transform, 2 * span + 1), 0.0, None)[: span + 1]
    observed = abs(int(steps.sum()))
    beyond = 2 * law[observed:].sum() - (law[0] if observed == 0 else 0.0)
    # No arrangement of signs is less likely than this, whatever the transform's rounding says.
    return float(min(1.0, max(beyond, 2.0 ** (1 - counts.sum()))))
