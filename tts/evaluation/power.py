"""How many paired problems a comparison needs, and what a number of problems can resolve.

Knows probabilities, not outcomes. The power is exact where the test is: the number of problems on
which the arms disagree is binomial, and the wins among them are binomial given that number.
Sources: McNemar 1947; Connor 1987, "Sample size for testing differences in proportions for the
paired-sample design".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tts.errors import ConfigError
from tts.evaluation.pairs import Pair

Integers = NDArray[np.int64]

CORRELATION, WITHIN = 0.6, 0.5
"""What is taken where nothing was measured: see `Pair.correlated` and `Plan.within`."""

_MOST = 10_000_000  # problems; more is no answer


@dataclass(frozen=True, slots=True)
class Plan:
    """How a comparison will be judged.

    Attributes:
        alpha: Two-sided error that is allowed for all comparisons together; a non-inferiority is
            one-sided at half of it, which is what a two-sided interval's lower end gives.
        comparisons: How many share that error (Bonferroni, which is Holm's first step).
        margin: None: to show a difference. A number above 0: to show that the new arm is worse by
            less than that.
        repeats: Independent repeats of each problem.
        within: Share of the variance of a problem's difference, at one repeat, that is noise of
            sampling. Repeats average it away; the rest, by which problems differ, they do not.
    """

    alpha: float = 0.05
    comparisons: int = 1
    margin: float | None = None
    repeats: int = 1
    within: float = WITHIN

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ConfigError(f"alpha: {self.alpha:g} is not above 0 and below 1.")
        if self.comparisons < 1:
            raise ConfigError(f"comparisons: {self.comparisons} is less than 1.")
        if self.margin is not None and not 0 < self.margin < 1:
            raise ConfigError(f"margin: {self.margin:g} is not above 0 and below 1.")
        if self.repeats < 1:
            raise ConfigError(f"repeats: {self.repeats} is less than 1.")
        if not 0 <= self.within <= 1:
            raise ConfigError(f"within: {self.within:g} is not 0 to 1.")

    def __str__(self) -> str:
        """How strict it is, and how often each problem is solved."""
        several = f" for {self.comparisons} comparisons together" if self.comparisons > 1 else ""
        repeats = f"{self.repeats} repeat" + ("s" if self.repeats > 1 else "")
        return f"error {self.alpha:g}{several}, {repeats}"

    @property
    def worth(self) -> float:
        """How many problems with one repeat a problem with all its repeats is worth, at least 1."""
        return 1 / (1 - self.within + self.within / self.repeats)


def power(pair: Pair, n: int, plan: Plan) -> float:
    """Probability that n problems show what the plan asks for.

    Exact for one repeat: of McNemar's two-sided test, significant in the true direction, and for a
    margin of the rule that the lower end of the normal interval of `tts.evaluation.claims` lies
    above minus the margin. Several repeats count as more problems with one (see `Plan.worth`).

    Args:
        pair: What is true.
        n: Problems, at least 1.
        plan: How it is judged.
    """
    n = max(1, math.floor(n * plan.worth + 1e-9))
    alpha = plan.alpha / plan.comparisons
    if pair.discordance == 0:
        return float(plan.margin is not None and _least_wins(np.zeros(1), n, alpha, plan)[0] <= 0)
    from scipy.stats import binom

    apart = _likely(n, pair.discordance)
    if plan.margin is None:
        share = max(pair.wins, pair.losses) / pair.discordance
        shown = binom.sf(binom.isf(alpha / 2, apart, 0.5), apart, share)
    else:
        share = pair.wins / pair.discordance
        shown = binom.sf(_least_wins(apart, n, alpha, plan) - 1, apart, share)
    return float(binom.pmf(apart, n, pair.discordance) @ shown)


def problems_needed(pair: Pair, plan: Plan, target: float = 0.8) -> int:
    """A number of problems at which the power reaches the target, and one less does not.

    The exact power is a saw in n, so that a few slightly smaller numbers may reach it as well.

    Raises:
        ConfigError: The target is not above 0 and below 1, or no number of problems reaches it.
    """
    _check(target)
    if pair.difference == 0 if plan.margin is None else pair.difference <= -plan.margin:
        raise ConfigError(
            "difference: no number of problems shows it.",
            hint="Take one other than 0, or above minus the margin.",
        )
    return _first(lambda n: power(pair, n, plan) >= target)


def detectable(
    pair_of: Callable[[float], Pair], n: int, plan: Plan, target: float = 0.8
) -> float | None:
    """The smallest difference that n problems show, to a thousandth of a point.

    Args:
        pair_of: The pair of a difference; raises `ConfigError` beyond what it allows.
        n: Problems, at least 1.
        plan: To show a difference: without a margin.
        target: Power, above 0 and below 1.

    Returns:
        Above 0; None if even the largest possible one is not shown.
    """
    if plan.margin is not None:
        raise ConfigError("margin: a smallest difference is asked of a plan without one.")
    _check(target)
    return _smallest(lambda d: power(pair_of(d), n, plan) >= target)


def provable_margin(pair: Pair, n: int, plan: Plan, target: float = 0.8) -> float | None:
    """The smallest margin of non-inferiority that n problems show, to a thousandth of a point.

    Args:
        pair: What is true.
        n: Problems, at least 1.
        plan: Its margin is put aside.
        target: Power, above 0 and below 1.

    Returns:
        Above 0; None if not even a margin of 1 is shown.
    """
    _check(target)
    return _smallest(lambda m: power(pair, n, replace(plan, margin=m)) >= target)


def smallest_shown(
    pair_of: Callable[[float], Pair], difference: float, n: int, plan: Plan, target: float = 0.8
) -> float | None:
    """The smallest margin that n problems show if the plan has one, else the smallest difference.

    Args:
        pair_of: The pair of a difference; raises `ConfigError` beyond what it allows.
        difference: The true one, for a margin.
        n: Problems, at least 1.
        plan: How it is judged.
        target: Power, above 0 and below 1.

    Returns:
        Above 0; None if nothing is shown.
    """
    if plan.margin is not None:
        return provable_margin(pair_of(difference), n, plan, target)
    return detectable(pair_of, n, plan, target)


def _least_wins(
    apart: Integers | NDArray[np.float64], n: int, alpha: float, plan: Plan
) -> Integers:
    """Wins among the problems apart from which the lower end lies above minus the margin.

    With a loss added, as `tts.evaluation.claims` does, y = wins - losses - 1 and N = n + 1, the
    lower end is y/N - z sqrt(apart + 1 - y²/N) / N: a quadratic in y.
    """
    assert plan.margin is not None
    z, total = NormalDist().inv_cdf(1 - alpha / 2), n + 1
    shift = plan.margin * total
    square = 1 + z * z / total
    inside = shift * shift - square * (shift * shift - z * z * (apart + 1))
    least = 1 + (-shift + np.sqrt(np.maximum(inside, 0.0))) / square
    # At the end itself the margin is not excluded yet, hence the next whole number.
    wins: Integers = np.maximum(0, np.floor((apart + least) / 2 + 1e-12) + 1).astype(np.int64)
    return wins


def _likely(n: int, chance: float) -> Integers:
    """All counts of n that occur but for a part of 1e-15."""
    centre, reach = n * chance, 8 * math.sqrt(n * chance * (1 - chance)) + 30
    return np.arange(max(0, math.floor(centre - reach)), min(n, math.ceil(centre + reach)) + 1)


def _first(enough: Callable[[int], bool]) -> int:
    high = 1
    while not enough(high):
        high *= 2
        if high > _MOST:
            raise ConfigError(f"difference: more than {_MOST} problems are needed to show it.")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _smallest(enough: Callable[[float], bool]) -> float | None:
    """The smallest of 0.00001 ... 0.99999 that is enough; what cannot be is not."""

    def shown(steps: int) -> bool:
        return enough(steps / 100_000)

    low, high = 0, _last_possible(shown)
    if high == 0 or not shown(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high / 100_000


def _last_possible(call: Callable[[int], bool]) -> int:
    """The largest number of steps below 100,000 that does not raise `ConfigError`."""
    low, high = 0, 100_000
    while high - low > 1:
        middle = (low + high) // 2
        try:
            call(middle)
            low = middle
        except ConfigError:
            high = middle
    return low


def _check(target: float) -> None:
    if not 0 < target < 1:
        raise ConfigError(f"power: {target:g} is not above 0 and below 1.")
