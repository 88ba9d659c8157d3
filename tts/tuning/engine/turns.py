"""The last measurement: the best candidates and the defaults in turns, and what that shows.

In a round each contestant has a turn, so that a machine which is slow for a while is slow for all.
What counts are ratios within a round. Their median has the percentile interval of the bootstrap
over rounds; as the winner is the best of several finalists, each interval is so wide that all of
them hold together.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tts.evaluation.statistics import Interval

_DRAWS = 10_000
_LEVEL = 0.95

Rounds = Sequence[Mapping[str, float]]
"""By round, the worth of each contestant by its name."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a finalist has reached.

    Attributes:
        name: Of the contestant.
        over: Median ratio over each reference with its interval, by the reference's name.
    """

    name: str
    over: Mapping[str, Interval]


def order(names: Sequence[str], number: int) -> list[str]:
    """Who has a turn when: every other round backwards, and after two another begins.

    Args:
        names: Of the contestants, at least one.
        number: Of the round, from 0.
    """
    start = number // 2 % len(names)
    turned = [*names[start:], *names[:start]]
    return turned[::-1] if number % 2 else turned


def standings(
    rounds: Rounds, finalists: Sequence[str], references: Sequence[str]
) -> list[Standing]:
    """What the finalists have reached, the best over the last reference first.

    Args:
        rounds: At least one; each names all finalists and references.
        finalists: Names, at least one.
        references: Names of others, at least one.
    """
    level = 1 - (1 - _LEVEL) / len(finalists)

    def over(name: str, other: str) -> Interval:
        return median_interval([each[name] / each[other] for each in rounds], level)

    found = [Standing(name, {other: over(name, other) for other in references})
             for name in finalists]  # fmt: skip
    return sorted(found, key=lambda one: -one.over[references[-1]].mean)


def median_interval(values: Sequence[float], level: float) -> Interval:
    """The median with the percentile interval of its bootstrap.

    Args:
        values: At least one.
        level: Coverage, above 0 and below 1.

    Returns:
        An interval whose `mean` is the median.
    """
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(_DRAWS))
    cut = round((1 - level) / 2 * (_DRAWS - 1))
    return Interval(statistics.median(values), medians[cut], medians[-1 - cut])
