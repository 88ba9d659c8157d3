"""Fits a plan by regression: what each method is expected to come to, given what a pilot tells.

Source: the choice by difficulty of Snell et al. 2024, "Scaling LLM Test-Time Compute Optimally",
with a regression in the place of bins. For every option the chance to be right is a logistic
function of the features of the pilot, and the logarithm of its tokens a linear one, both pulled
towards a constant. A problem gets the option with the best chance, less the price of its tokens;
the price is the one at which the budget is used best (Lagrange), as with bins. Judged two-fold.
Knows results, not strategies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from tts.evaluation._options import Floats, Mask, Option, Places, Table, Worth, common, worth
from tts.types import ProblemId

RIDGE = 10.0
"""Pull of the weights towards 0, as of so many problems."""

PRICES = (0.0, *np.geomspace(1e-7, 1e-1, 241).tolist())
"""Prices of a token, in right answers, among which the best is taken."""

Learner = Callable[[Floats, Floats, float], tuple[Floats, float]]
"""Logistic regression: features (n, d), targets (n,), 0 to 1, and the pull; weights and offset."""


@dataclass(frozen=True)
class Forecast:
    """What is expected of an option, and what came of it where it was chosen.

    Attributes:
        option: What is done.
        right: Weights of the features, and the offset: the logit of the chance to be right.
        tokens: The same for the logarithm of the completion tokens.
        n_problems: Problems of the fit for which it is chosen.
        accuracy: Their mean chance to be right with it.
        cost: Their mean cost with it, tokens.
    """

    option: Option
    right: tuple[float, ...]
    tokens: tuple[float, ...]
    n_problems: int
    accuracy: float
    cost: float


@dataclass(frozen=True)
class FittedRegression:
    """A plan by regression, and what it is worth on problems that it was not fitted to.

    Attributes:
        forecasts: Of the options that are chosen at all, the cheapest first; fitted to all.
        price: Of a completion token, in right answers.
        worth: Two-fold.
    """

    forecasts: tuple[Forecast, ...]
    price: float
    worth: Worth


def fit_regression(
    options: Sequence[Option],
    alone: Sequence[Option],
    told: Mapping[ProblemId, Sequence[float]],
    budget: float,
    learner: Learner,
    *,
    seed: int = 0,
) -> FittedRegression:
    """Fit a plan, and judge it on problems that it was not fitted to.

    Args:
        options: What there is to choose from, behind a pilot; all on the same problems.
        alone: The same without a pilot, to compare with.
        told: The features of each problem's pilot.
        budget: Completion tokens a problem on average, above 0.
        learner: Fits a logistic regression.
        seed: Of the halves.

    Raises:
        ConfigError: There is nothing to choose from, too few problems, or no option that is cheap
            enough.
    """
    names = common([*options, *alone], told)
    table, lone = Table.of(options, names), Table.of(alone, names)
    table.check(budget)
    features = np.array([told[name] for name in names], dtype=np.float64)

    def policy(rows: Mask) -> Places:
        return _Model.fitted(table, features, rows, budget, learner).places(features)

    everything = np.ones(len(names), dtype=bool)
    model = _Model.fitted(table, features, everything, budget, learner)
    return FittedRegression(
        forecasts=tuple(_forecasts(table, model, model.places(features))),
        price=model.price,
        worth=worth(table, policy, lone, budget, seed),
    )


def _forecasts(table: Table, model: _Model, places: Places) -> list[Forecast]:
    """Those of the options that are chosen at all, the cheapest first."""
    found = []
    for place in np.argsort(table.cost.mean(0), kind="stable"):
        rows = np.flatnonzero(places == place)
        if not len(rows):
            continue
        found.append(
            Forecast(
                option=table.options[place],
                right=tuple(model.right[place].tolist()),
                tokens=tuple(model.tokens[place].tolist()),
                n_problems=len(rows),
                accuracy=float(table.right[rows, place].mean()),
                cost=float(table.cost[rows, place].mean()),
            )
        )
    return found


@dataclass(frozen=True)
class _Model:
    """The regressions of all options.

    Attributes:
        right: Weights and offset of the logits, shape (options, features + 1).
        tokens: Weights and offset of the logarithms of the tokens, shape (options, features + 1).
        price: Of a token.
    """

    right: Floats
    tokens: Floats
    price: float = 0.0

    @classmethod
    def fitted(
        cls, table: Table, features: Floats, rows: Mask, budget: float, learner: Learner
    ) -> Self:
        """Learn from some of the problems."""
        seen, right, cost = features[rows], table.right[rows], table.cost[rows]
        chances = [learner(seen, column, RIDGE) for column in right.T]
        model = cls(
            np.array([np.append(weights, offset) for weights, offset in chances]),
            np.array([_tokens(seen, column) for column in cost.T]),
        )
        return model._priced(seen, right, cost, budget)

    def _priced(self, seen: Floats, right: Floats, cost: Floats, budget: float) -> Self:
        """With the price that is best for these problems; the dearest if none is within budget."""
        rows = np.arange(len(seen))
        best, kept = -np.inf, PRICES[-1]
        for price in PRICES:
            model = replace(self, price=price)
            places = model.places(seen)
            chance = model.chances(seen)[rows, places].mean()
            if cost[rows, places].mean() <= budget and chance > best:
                best, kept = chance, price
        return replace(self, price=kept)

    def chances(self, features: Floats) -> Floats:
        """To be right, shape (problems, options)."""
        found: Floats = 0.5 * (1 + np.tanh(0.5 * _lines(features, self.right)))
        return found

    def places(self, features: Floats) -> Places:
        """The option of each problem."""
        cost = np.exp(np.minimum(_lines(features, self.tokens), 50.0))
        found: Places = np.argmax(self.chances(features) - self.price * cost, axis=1)
        return found


def _lines(features: Floats, weights: Floats) -> Floats:
    found: Floats = features @ weights[:, :-1].T + weights[:, -1]
    return found


def _tokens(features: Floats, cost: Floats) -> Floats:
    """Weights and offset of the logarithm of a cost, whose mean over these problems is kept."""
    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread[spread == 0] = 1.0
    table = (features - centre) / spread
    logs = np.log(np.maximum(cost, 1.0))
    pull = RIDGE * np.eye(table.shape[1])
    weights = np.linalg.solve(table.T @ table + pull, table.T @ (logs - logs.mean())) / spread
    line = features @ weights
    return np.append(weights, np.log(cost.mean() / np.exp(line).mean()))
