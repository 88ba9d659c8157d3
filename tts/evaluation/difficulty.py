"""Fits a plan by bins: for each difficulty and a budget, the method that was best on such problems.

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

import numpy as np

from tts.errors import ConfigError
from tts.evaluation._options import Floats, Mask, Option, Places, Table, Worth, common, worth
from tts.types import ProblemId


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
        worth: Two-fold.
    """

    choices: tuple[Choice, ...]
    worth: Worth


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
    names = common([*options, *alone], signal)
    table, lone = Table.of(options, names), Table.of(alone, names)
    table.check(budget)
    said = np.array([signal[name] for name in names])

    def policy(rows: Mask) -> Places:
        leasts = _leasts(said[rows], bins)
        return np.array(_picks(table, said, rows, leasts, budget))[_places(said, leasts)]

    everything = np.ones(len(names), dtype=bool)
    leasts = _leasts(said, bins)
    chosen = _picks(table, said, everything, leasts, budget)
    return FittedPlan(
        choices=tuple(_choices(table, said, leasts, chosen)),
        worth=worth(table, policy, lone, budget, seed),
    )


def _picks(
    table: Table, signal: Floats, rows: Mask, leasts: Sequence[float], budget: float
) -> list[int]:
    """For each bin the option, so that the mean cost over some problems stays within the budget.

    For every price of a token, each bin takes what is best at that price; of all prices at which a
    choice changes, the one that spends the budget best counts. What that leaves goes to the bins
    that gain most by it.

    Args:
        table: Options on problems.
        signal: Of the problems, shape (problems,).
        rows: The problems that count.
        leasts: Least values of the bins, the easiest first.
        budget: Completion tokens a problem on average.
    """
    places = _places(signal[rows], leasts)
    share = np.array([(places == b).mean() for b in range(len(leasts))])
    inside = [np.flatnonzero(rows)[places == b] for b in range(len(leasts))]
    right = np.array([table.right[i].mean(0) for i in inside])
    cost = np.array([table.cost[i].mean(0) for i in inside])
    best: tuple[float, float, list[int]] = (-1.0, 0.0, np.argmin(cost, axis=1).tolist())
    for price in sorted({0.0, *_prices(right, cost)}):
        found = np.argmax(right - price * cost, axis=1)
        bin_ = np.arange(len(leasts))
        total = float(share @ cost[bin_, found])
        value = float(share @ right[bin_, found])
        if total <= budget and (value, -total) > best[:2]:
            best = (value, -total, found.tolist())
    return _topped_up(best[2], share[:, None] * right, share[:, None] * cost, budget)


def _choices(
    table: Table, signal: Floats, leasts: Sequence[float], chosen: Sequence[int]
) -> list[Choice]:
    """What is done in each bin, with what came of it here."""
    places = _places(signal, leasts)
    found = []
    for place, (least, pick) in enumerate(zip(leasts, chosen, strict=True)):
        rows = places == place
        means = float(table.right[rows, pick].mean()), float(table.cost[rows, pick].mean())
        found.append(Choice(least, table.options[pick], int(rows.sum()), *means))
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


def _places(signal: Floats, leasts: Sequence[float]) -> Places:
    """The bin of each problem."""
    return np.array([next(b for b, least in enumerate(leasts) if s >= least) for s in signal])
