"""Plans by regression: fitted to results, judged on other problems, within a budget."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.errors import ConfigError
from tts.evaluation._options import Option, Table
from tts.evaluation.regression import _Model, fit_regression
from tts.verifiers.fitting import fit_logistic


def option(label, right, cost):
    return Option(label, {"_target_": label}, right, cost)


def world(n=1500, seed=0):
    """The first feature says how hard a problem is, the second how long, the third nothing.

    Easy and hopeless problems need no more than a pilot; those between are decided by a search.
    """
    rng = random.Random(seed)
    names = [f"p{i}" for i in range(n)]
    told = {name: (rng.uniform(-4, 4), rng.gauss(0, 1), rng.gauss(0, 1)) for name in names}

    def drawn(shift):
        chance = {k: 1 / (1 + np.exp(-(2 * told[k][0] + shift))) for k in names}
        return {k: float(rng.random() < chance[k]) for k in names}

    def price(tokens):
        return {k: tokens * float(np.exp(0.3 * told[k][1])) for k in names}

    return [
        option("dear", drawn(2.0), price(1000.0)),
        option("cheap", drawn(-1.0), price(100.0)),
    ], told


def fitted(budget, n=1500, seed=0):
    options, told = world(n, seed)
    return fit_regression(options, options, told, budget, fit_logistic)


def test_problems_that_nothing_helps_leave_something_to_those_between():
    found = fitted(400.0)
    assert [f.option.label for f in found.forecasts] == ["cheap", "dear"]
    assert found.worth.best == "cheap"
    assert found.worth.cost == pytest.approx(400, rel=0.1)
    # A third of the problems is decided by the search, and they are those between.
    assert found.worth.accuracy.mean > found.worth.best_accuracy.mean + 0.1
    easy, hard, between = (np.array([x, 0.0, 0.0]) for x in (3.5, -3.5, 0.0))
    picks = [choice(found, told) for told in (easy, hard, between)]
    assert picks == ["cheap", "cheap", "dear"]


def choice(found, told):
    """What the fitted weights say, worked out here once more."""

    def worth(f):
        chance = 1 / (1 + np.exp(-(np.dot(f.right[:-1], told) + f.right[-1])))
        return chance - found.price * np.exp(np.dot(f.tokens[:-1], told) + f.tokens[-1])

    return max(found.forecasts, key=worth).option.label


def test_with_enough_for_all_nothing_has_a_price():
    found = fitted(5000.0)
    assert found.price == 0.0 and found.worth.best == "dear"
    assert found.worth.accuracy.mean == pytest.approx(found.worth.best_accuracy.mean, abs=0.02)


def test_lengths_are_forecast_as_they_are():
    dear = fitted(5000.0).forecasts[-1]
    assert dear.tokens[1] == pytest.approx(0.3, abs=0.01)
    assert dear.tokens[0] == pytest.approx(0.0, abs=0.01)


def test_the_mean_of_the_forecast_lengths_is_that_of_the_lengths():
    options, told = world(200, 1)
    names = sorted(told)
    table, features = Table.of(options, names), np.array([told[name] for name in names])
    model = _Model.fitted(table, features, np.ones(200, dtype=bool), 400.0, fit_logistic)
    lines = features @ model.tokens[:, :-1].T + model.tokens[:, -1]
    assert np.exp(lines).mean(0) == pytest.approx(table.cost.mean(0))


def test_what_was_fitted_to_noise_is_not_believed():
    rng = random.Random(3)
    names = [f"p{i}" for i in range(400)]
    options = [
        option(f"o{j}", {k: float(rng.random() < 0.5) for k in names}, dict.fromkeys(names, 10.0))
        for j in range(10)
    ]
    told = {name: (rng.gauss(0, 1), rng.gauss(0, 1)) for name in names}
    found = fit_regression(options, options, told, 10.0, fit_logistic)
    within = sum(f.accuracy * f.n_problems for f in found.forecasts) / 400
    assert within > 0.54
    assert found.worth.accuracy.mean < 0.54


@given(st.integers(0, 1000), st.floats(150, 900))
@settings(deadline=None, max_examples=10)
def test_the_fit_stays_within_the_budget(seed, budget):
    options, told = world(120, seed)
    found = fit_regression(options, options, told, budget, fit_logistic)
    spent = sum(f.cost * f.n_problems for f in found.forecasts) / 120
    assert spent <= budget + 1e-9


def test_a_feature_that_never_varies_changes_nothing():
    options, told = world(200)
    flat = {name: (*values, 1.0) for name, values in told.items()}
    one = fit_regression(options, options, told, 400.0, fit_logistic)
    two = fit_regression(options, options, flat, 400.0, fit_logistic)
    assert one.worth == two.worth
    assert all(f.right[3] == pytest.approx(0.0, abs=1e-6) for f in two.forecasts)


def test_what_cannot_be_fitted_is_refused():
    options, told = world(20)
    with pytest.raises(ConfigError, match="the cheapest choice takes"):
        fit_regression(options, options, told, 50.0, fit_logistic)
    with pytest.raises(ConfigError, match="0 problems in common"):
        fit_regression(options, options, {}, 500.0, fit_logistic)
    with pytest.raises(ConfigError, match="no arm to choose"):
        fit_regression([], [], told, 500.0, fit_logistic)
