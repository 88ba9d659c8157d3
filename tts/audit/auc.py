"""How well scores tell a candidate's texts from honest ones: the area under the ROC curve.

The area is the chance that a candidate's text has a larger score than an honest one, ties counting
half: 0.5 says that nothing tells them apart. It is the Mann-Whitney statistic over all pairs.

The interval is Newcombe's fifth method (2006, "Confidence intervals for an effect size measure
based on the Mann-Whitney statistic. Part 2", Statistics in Medicine 25): the areas that lie no
further from the estimate than the normal quantile times their own standard error, which is that of
Hanley & McNeil (1982) with both sample sizes replaced by their mean in its inner terms. It stays
within 0 and 1, and says something where the estimate is 0 or 1, where a bootstrap knows no spread.
Ties make it too wide, never too narrow. Nothing is drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

from tts.evaluation.statistics import Interval

_STEPS = 60  # of bisection, to the last bit of a float


def auc(candidate: Sequence[float], honest: Sequence[float], *, level: float = 0.95) -> Interval:
    """The area, with its interval.

    Args:
        candidate: Scores of the texts to be told apart, at least one.
        honest: Scores of the others, at least one.
        level: Coverage, above 0 and below 1.
    """
    from scipy.stats import rankdata  # takes a second to import

    m, n = len(candidate), len(honest)
    ranks = rankdata([*candidate, *honest])
    area = float(ranks[:m].sum() - m * (m + 1) / 2) / (m * n)
    quantile = NormalDist().inv_cdf((1 + level) / 2)

    def within(value: float) -> bool:
        return abs(value - area) <= quantile * standard_error(value, m, n)

    return Interval(area, _edge(within, area, 0.0), _edge(within, area, 1.0))


def standard_error(area: float, m: int, n: int) -> float:
    """Of an estimate of `area` (0 to 1) from `m` and `n` scores, each at least 1."""
    inner = (m + n) / 2 - 1
    spread = 1 + inner * (1 - area) / (2 - area) + inner * area / (1 + area)
    return math.sqrt(area * (1 - area) * spread / (m * n))


def _edge(within: Callable[[float], bool], inside: float, end: float) -> float:
    """Where an interval ends, between a point inside of it and an end of the scale."""
    for _ in range(_STEPS):
        middle = (inside + end) / 2
        inside, end = (middle, end) if within(middle) else (inside, middle)
    return inside
