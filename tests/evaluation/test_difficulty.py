"""Plans: fitted to results, judged on other problems, within a budget. Simulated results."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.errors import ConfigError
from tts.evaluation import difficulty
from tts.evaluation._options import Option, Table
from tts.evaluation.difficulty import fit_plan


def option(label, right, cost):
    return Option(label, {"_target_": label}, right, cost)


def world(n=400, seed=0):
    """Half of the problems need no more than a pilot; the others are decided by a search."""
    rng = random.Random(seed)
    names = [f"p{i}" for i in range(n)]
    hard = {name: rng.random() < 0.5 for name in names}
    signal = {name: (0.3 if hard[name] else 0.9) + rng.uniform(-0.1, 0.1) for name in names}

    def drawn(easy, difficult):
        return {k: float(rng.random() < (difficult if hard[k] else easy)) for k in names}

    def price(tokens):
        return dict.fromkeys(names, tokens)

    cheap, dear = drawn(0.95, 0.2), drawn(0.9, 0.7)
    options = [option("cheap", cheap, price(100.0)), option("dear", dear, price(1000.0))]
    return options, signal


def test_easy_problems_leave_something_to_the_others():
    options, signal = world()
    fitted = fit_plan(options, options, signal, 600.0, bins=2)
    assert [choice.option.label for choice in fitted.choices] == ["cheap", "dear"]
    assert fitted.worth.cost == pytest.approx(550, abs=60)
    assert fitted.worth.best == "cheap"
    assert fitted.worth.accuracy.mean > fitted.worth.best_accuracy.mean + 0.15


def test_with_enough_for_all_each_bin_takes_what_is_best_for_it():
    options, signal = world()
    fitted = fit_plan(options, options, signal, 5000.0, bins=2)
    assert [choice.option.label for choice in fitted.choices] == ["cheap", "dear"]
    assert fitted.worth.best == "dear" and fitted.worth.best_cost == 1000


def test_what_was_fitted_to_noise_is_not_believed():
    rng = random.Random(3)
    names = [f"p{i}" for i in range(300)]
    options = [
        option(f"o{j}", {k: float(rng.random() < 0.5) for k in names}, dict.fromkeys(names, 10.0))
        for j in range(20)
    ]
    signal = {name: rng.random() for name in names}
    fitted = fit_plan(options, options, signal, 10.0, bins=5)
    within = sum(c.right * c.n_problems for c in fitted.choices) / 300
    assert within > 0.55
    assert fitted.worth.accuracy.mean < 0.55


@given(st.integers(0, 10_000), st.floats(10, 60))
@settings(deadline=None, max_examples=60)
def test_picks_stay_within_the_budget_and_near_the_best_of_all(seed, budget):
    rng = np.random.default_rng(seed)
    right, cost = rng.random((3, 4)), rng.uniform(1, 100, (3, 4))
    cost[:, 0] = 10.0
    names = [f"p{i}" for i in range(6)]
    options = [
        option(
            str(j),
            {name: right[i // 2, j] for i, name in enumerate(names)},
            {name: cost[i // 2, j] for i, name in enumerate(names)},
        )
        for j in range(4)
    ]
    signal = {name: 2.0 - i // 2 for i, name in enumerate(names)}
    table, said = Table.of(options, names), np.array([signal[name] for name in names])
    picks = difficulty._picks(table, said, np.ones(6, dtype=bool), [2.0, 1.0, -np.inf], budget)
    rows = np.arange(3)
    assert cost[rows, picks].mean() <= budget + 1e-9
    feasible = [
        right[rows, list(p)].mean()
        for p in itertools.product(range(4), repeat=3)
        if cost[rows, list(p)].mean() <= budget
    ]
    found = right[rows, picks].mean()
    assert found <= max(feasible) + 1e-12
    # At most one bin is off what prices alone could buy.
    assert found >= max(feasible) - (right.max(1) - right.min(1)).max() / 3 - 1e-12


@given(
    st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=50), st.integers(1, 6)
)
def test_bins_hold_all_problems_and_none_is_empty(values, bins):
    signal = np.array(values)
    leasts = difficulty._leasts(signal, bins)
    assert len(leasts) <= bins and leasts == sorted(leasts, reverse=True)
    assert set(difficulty._places(signal, leasts)) == set(range(len(leasts)))


def test_a_budget_that_pays_nothing_is_refused():
    options, signal = world(20)
    with pytest.raises(ConfigError, match="the cheapest choice takes 100"):
        fit_plan(options, options, signal, 50.0)


def test_arms_on_different_problems_are_refused():
    options, signal = world(20)
    other = option("other", {"q": 1.0}, {"q": 1.0})
    with pytest.raises(ConfigError, match="0 problems in common"):
        fit_plan([*options, other], options, signal, 500.0)
    with pytest.raises(ConfigError, match="no arm to choose"):
        fit_plan([], [], signal, 500.0)
    with pytest.raises(ConfigError, match="bins is 0"):
        fit_plan(options, options, signal, 500.0, bins=0)
