"""Whether probabilities mean what they say: of the answers given 0.7, are 70% right?

Pure. Sources: Brier 1950 (the mean squared error of a probability); Naeini et al. 2015 and Guo et
al. 2017, "On Calibration of Modern Neural Networks" (the expected calibration error over ten bins
of equal width).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """The answers whose probability lies in one tenth.

    Attributes:
        low: Its lower end, which belongs to it.
        high: Its upper end, which belongs to the next one, but for 1.
        n: Answers in it, at least 1.
        said: Their mean probability.
        right: The share of them that is right.
    """

    low: float
    high: float
    n: int
    said: float
    right: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far probabilities are from what is the case.

    Attributes:
        bins: Those that hold an answer, rising.
        ece: Mean distance between what is said and what is right, over answers by their bins.
        brier: Mean squared distance between an answer's probability and 1 (right) or 0 (wrong).
    """

    bins: tuple[Bin, ...]
    ece: float
    brier: float


def reliability(chances: Floats, right: Floats) -> Reliability:
    """Compare probabilities with outcomes.

    Args:
        chances: 0 to 1; shape (n,), n at least 1.
        right: 1 if the answer is right, else 0; shape (n,).
    """
    places = np.minimum((chances * BINS).astype(int), BINS - 1)
    bins = []
    for place in np.unique(places):
        mine = places == place
        said, share = float(chances[mine].mean()), float(right[mine].mean())
        bins.append(Bin(place / BINS, (place + 1) / BINS, int(mine.sum()), said, share))
    ece = sum(b.n * abs(b.said - b.right) for b in bins) / len(chances)
    return Reliability(tuple(bins), float(ece), float(np.mean((chances - right) ** 2)))
