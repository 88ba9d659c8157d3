"""Fits a plan: for each difficulty and a budget, the method that was best on problems like these.

Source: Snell et al. 2024, "Scaling LLM Test-Time Compute Optimally": the best choice of each bin,
found on one half of the problems and judged on the other, both ways. Other than there, the pilot is
paid, and the budget is a mean over all problems: bins divide it among them (Lagrange), so that easy
problems leave something to those that can use it. Knows results, not strategies.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts.errors import ConfigError
from tts.evaluation.statistics import Interval, bootstrap
from tts.seeds import derive
from tts.types import ProblemId

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Option:
    """A method and what came of it, problem by problem.

    Attributes:
        label: Such as 'self_consistency n=16'.
        strategy: `_target_` and settings, as a plan names it.
        right: Chance to be right, 0 to 1.
        cost: Completion tokens; of one that runs behind a pilot, with the pilot's own.
    """

    label: str
    strategy: Mapping[str, Any]
    right: Mapping[ProblemId, float]
    cost: Mapping[ProblemId, float]


@dataclass(frozen=True)
class Choice:
    """What is done in one bin.

    Attributes:
        least: Least value of the signal; -inf in the last bin.
        option: What is done.
        n_problems: Problems of the fit that fall into the bin.
        right: Their mean chance to be right with it.
        cost: Their mean cost with it, tokens.
    """

    least: float
    option: Option
    n_problems: int
    right: float
    cost: float


@dataclass(frozen=True)
class FittedPlan:
    """A plan, and what it is worth on problems that it was not fitted to.

    Attributes:
        choices: The easiest bin first; fitted to all problems.
        accuracy: Two-fold: each half under the plan that was fitted to the other one.
        cost: Mean cost a problem of that, tokens.
        best: The best single method without a pilot within the budget.
        best_accuracy: Two-fold: each half under what was the best one on the other.
        best_cost: Mean cost a problem of that, tokens.
    """

    choices: tuple[Choice, ...]
    accuracy: Interval
    cost: float
    best: str
    best_accuracy: Interval
    best_cost: float


def fit_plan(
    options: Sequence[Option],
    alone: Sequence[Option],
    signal: Mapping[ProblemId, float],
    budget: float,
    *,
    bins: int = 5,
    seed: int = 0,
) -> FittedPlan:
    """Fit a plan, and judge it on problems that it was not fitted to.

    Args:
        options: What there is to choose from, behind a pilot; all on the same problems.
        alone: The same without a pilot, to compare with.
        signal: What the pilot said of each problem; the easier, the larger.
        budget: Completion tokens a problem on average, above 0.
        bins: Most bins, at least 1; fewer where many problems have the same signal.
        seed: Of the halves.

    Raises:
        ConfigError: There is nothing to choose from, too few problems, or no option that is cheap
            enough.
    """
    if bins < 1:
        raise ConfigError(f"bins is {bins}; it must be at least 1.")
    names = _common([*options, *alone], signal)
    table, lone = _Table.of(options, signal, names), _Table.of(alone, signal, names)
    table.check(budget)
    ours, theirs = _two_fold(table, bins, budget, seed), _two_fold(lone, 1, budget, seed)
    everything = np.ones(len(names), dtype=bool)
    leasts = _leasts(table.signal, bins)
    (best,) = lone.picks(everything, [-math.inf], budget)
    return FittedPlan(
        choices=tuple(table.choices(leasts, table.picks(everything, leasts, budget))),
        accuracy=bootstrap(ours[:, 0].tolist(), bounds=(0.0, 1.0)),
        cost=float(ours[:, 1].mean()),
        best=alone[best].label,
        best_accuracy=bootstrap(theirs[:, 0].tolist(), bounds=(0.0, 1.0)),
        best_cost=float(theirs[:, 1].mean()),
    )


def _two_fold(table: _Table, bins: int, budget: float, seed: int) -> Floats:
    """Right and cost of each problem, shape (problems, 2), under the plan of the other half."""
    order = sorted(table.names, key=lambda name: derive(seed, "fold", name))
    first = np.isin(table.names, order[::2])
    found = np.zeros((len(order), 2))
    for fitted in (first, ~first):
        leasts = _leasts(table.signal[fitted], bins)
        picks = np.array(table.picks(fitted, leasts, budget))[_places(table.signal, leasts)]
        rows = np.flatnonzero(~fitted)
        found[rows, 0] = table.right[rows, picks[rows]]
        found[rows, 1] = table.cost[rows, picks[rows]]
    return found


def _common(options: Sequence[Option], signal: Mapping[ProblemId, float]) -> list[ProblemId]:
    """The problems that all options were tried on, and the pilot."""
    names = sorted(set(signal).intersection(*(o.right for o in options)))
    if len(names) < 4:
        raise ConfigError(
            f"The arms have {len(names)} problems in common; a plan takes four at least.",
            hint="Run all of them on the same problems.",
        )
    return names


@dataclass(frozen=True)
class _Table:
    """The same as arrays: problems by options."""

    options: Sequence[Option]
    names: list[ProblemId]
    signal: Floats
    right: Floats
    cost: Floats

    @classmethod
    def of(
        cls,
        options: Sequence[Option],
        signal: Mapping[ProblemId, float],
        names: list[ProblemId],
    ) -> _Table:
        """Some options on some problems."""
        if not options:
            raise ConfigError("There is no arm to choose from.", hint="Name folders of runs.")
        return cls(
            options,
            names,
            np.array([signal[name] for name in names]),
            np.array([[o.right[name] for o in options] for name in names]),
            np.array([[o.cost[name] for o in options] for name in names]),
        )

    def check(self, budget: float) -> None:
        """Refuse a budget that pays nothing."""
        cheapest = self.cost.mean(0).min()
        if not budget >= cheapest:
            raise ConfigError(
                f"The budget is {budget:g} tokens a problem, and the cheapest choice takes"
                f" {cheapest:.0f}, its pilot included.",
                hint="Raise --budget, or lower --pilot.",
            )

    def picks(self, rows: NDArray[np.bool_], leasts: Sequence[float], budget: float) -> list[int]:
        """For each bin the option, so that the mean cost over these problems stays within budget.

        For every price of a token, each bin takes what is best at that price; of all prices at
        which a choice changes, the one that spends the budget best counts. What that leaves goes
        to the bins that gain most by it.
        """
        places = _places(self.signal[rows], leasts)
        share = np.array([(places == b).mean() for b in range(len(leasts))])
        inside = [np.flatnonzero(rows)[places == b] for b in range(len(leasts))]
        right = np.array([self.right[i].mean(0) for i in inside])
        cost = np.array([self.cost[i].mean(0) for i in inside])
        best: tuple[float, float, list[int]] = (-1.0, 0.0, np.argmin(cost, axis=1).tolist())
        for price in sorted({0.0, *_prices(right, cost)}):
            picks = np.argmax(right - price * cost, axis=1)
            bin_ = np.arange(len(leasts))
            total = float(share @ cost[bin_, picks])
            value = float(share @ right[bin_, picks])
            if total <= budget and (value, -total) > best[:2]:
                best = (value, -total, picks.tolist())
        return _topped_up(best[2], share[:, None] * right, share[:, None] * cost, budget)

    def choices(self, leasts: Sequence[float], picks: Sequence[int]) -> list[Choice]:
        """What is done in each bin, with what came of it here."""
        places = _places(self.signal, leasts)
        found = []
        for place, (least, pick) in enumerate(zip(leasts, picks, strict=True)):
            rows = places == place
            means = float(self.right[rows, pick].mean()), float(self.cost[rows, pick].mean())
            found.append(Choice(least, self.options[pick], int(rows.sum()), *means))
        return found


def _topped_up(picks: list[int], right: Floats, cost: Floats, budget: float) -> list[int]:
    """Better choices for single bins, the most gainful first, as long as the budget pays them."""
    picks = list(picks)
    while True:
        rows = np.arange(len(picks))
        spent = cost[rows, picks].sum()
        dearer = cost - cost[rows, picks][:, None]
        gain = np.where(spent + dearer <= budget, right - right[rows, picks][:, None], 0.0)
        place, option = np.unravel_index(np.argmax(gain), gain.shape)
        if gain[place, option] <= 1e-12:
            return picks
        picks[int(place)] = int(option)


def _prices(right: Floats, cost: Floats) -> list[float]:
    """The prices of a token at which two options of a bin are worth the same."""
    found = []
    for r, c in zip(right, cost, strict=True):
        for i, j in itertools.combinations(range(len(r)), 2):
            if c[i] != c[j] and (price := (r[i] - r[j]) / (c[i] - c[j])) > 0:
                found += [price * (1 - 1e-9), price * (1 + 1e-9)]
    return found


def _leasts(signal: Floats, bins: int) -> list[float]:
    """Least values of bins with about as many problems each, the easiest first."""
    ranked = np.sort(signal)
    cuts = {float(ranked[len(ranked) * k // bins]) for k in range(1, bins)}
    return [*sorted(cuts - {float(ranked[0])}, reverse=True), -math.inf]


def _places(signal: Floats, leasts: Sequence[float]) -> NDArray[np.int64]:
    """The bin of each problem."""
    return np.array([next(b for b, least in enumerate(leasts) if s >= least) for s in signal])
