"""What there is to choose from, and what a way of choosing is worth on problems it has not seen.

Knows results, not strategies; how a choice is made is given (`difficulty.py`, `regression.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tts.errors import ConfigError
from tts.evaluation.statistics import Interval, bootstrap
from tts.seeds import derive
from tts.types import ProblemId

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]
Policy = Callable[[Mask], Places]
"""Learns from the marked problems, and gives the place of the option for each of all problems."""


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
class Worth:
    """What a plan is worth on problems that it was not fitted to.

    Attributes:
        accuracy: Two-fold: each half under the plan that was fitted to the other one.
        cost: Mean cost a problem of that, tokens.
        best: The best single method without a pilot within the budget.
        best_accuracy: Two-fold: each half under what was the best one on the other.
        best_cost: Mean cost a problem of that, tokens.
    """

    accuracy: Interval
    cost: float
    best: str
    best_accuracy: Interval
    best_cost: float


@dataclass(frozen=True)
class Table:
    """Options on the same problems, as arrays.

    Attributes:
        options: In the order of the columns.
        names: Of the problems, in the order of the rows.
        right: Chance to be right, shape (problems, options).
        cost: Completion tokens, shape (problems, options).
    """

    options: Sequence[Option]
    names: Sequence[ProblemId]
    right: Floats
    cost: Floats

    @classmethod
    def of(cls, options: Sequence[Option], names: Sequence[ProblemId]) -> Self:
        """Some options on some problems.

        Raises:
            ConfigError: There is no option.
        """
        if not options:
            raise ConfigError("There is no arm to choose from.", hint="Name folders of runs.")
        return cls(
            options,
            names,
            np.array([[o.right[name] for o in options] for name in names]),
            np.array([[o.cost[name] for o in options] for name in names]),
        )

    def check(self, budget: float) -> None:
        """Refuse a budget that pays nothing.

        Raises:
            ConfigError: The cheapest option costs more.
        """
        cheapest = self.cost.mean(0).min()
        if not budget >= cheapest:
            raise ConfigError(
                f"The budget is {budget:g} tokens a problem, and the cheapest choice takes"
                f" {cheapest:.0f}, its pilot included.",
                hint="Raise --budget, or lower --pilot.",
            )

    def best(self, rows: Mask, budget: float) -> int:
        """The place of the best option whose mean cost over some problems is within a budget."""
        right, cost = self.right[rows].mean(0), self.cost[rows].mean(0)
        affordable = np.where(cost <= budget, right, -np.inf)
        return int(np.argmax(affordable) if np.isfinite(affordable).any() else np.argmin(cost))


def common(options: Iterable[Option], known: Iterable[ProblemId]) -> list[ProblemId]:
    """The problems that all options were tried on, and of which the pilot is known.

    Raises:
        ConfigError: There are fewer than four.
    """
    names = sorted(set(known).intersection(*(o.right for o in options)))
    if len(names) < 4:
        raise ConfigError(
            f"The arms have {len(names)} problems in common; a plan takes four at least.",
            hint="Run all of them on the same problems.",
        )
    return names


def worth(table: Table, policy: Policy, alone: Table, budget: float, seed: int) -> Worth:
    """Judge a way of choosing two-fold, beside the best single method.

    Args:
        table: What there is to choose from, behind a pilot.
        policy: How it is chosen.
        alone: The same without a pilot.
        budget: Completion tokens a problem on average.
        seed: Of the halves.
    """
    everything = np.ones(len(table.names), dtype=bool)

    def single(rows: Mask) -> Places:
        return np.full(len(alone.names), alone.best(rows, budget))

    ours, theirs = _two_fold(table, policy, seed), _two_fold(alone, single, seed)
    return Worth(
        accuracy=bootstrap(ours[:, 0].tolist(), bounds=(0.0, 1.0)),
        cost=float(ours[:, 1].mean()),
        best=alone.options[alone.best(everything, budget)].label,
        best_accuracy=bootstrap(theirs[:, 0].tolist(), bounds=(0.0, 1.0)),
        best_cost=float(theirs[:, 1].mean()),
    )


def _two_fold(table: Table, policy: Policy, seed: int) -> Floats:
    """Right and cost of each problem, shape (problems, 2), as chosen by the other half."""
    order = sorted(table.names, key=lambda name: derive(seed, "fold", name))
    first = np.isin(table.names, order[::2])
    found = np.zeros((len(order), 2))
    for fitted in (first, ~first):
        rows = np.flatnonzero(~fitted)
        places = policy(fitted)[rows]
        found[rows, 0] = table.right[rows, places]
        found[rows, 1] = table.cost[rows, places]
    return found
