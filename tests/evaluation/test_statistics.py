"""Intervals and tests against closed forms, exhaustive counts and SciPy."""

from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tts.evaluation.statistics import _convolved, accuracy, compare, mcnemar

counts = st.tuples(*[st.integers(0, 5)] * 3).filter(lambda c: 1 <= sum(c) <= 5)


@given(counts=counts)
@settings(deadline=None)
def test_the_bootstrap_is_that_of_all_resamples(counts):
    n = sum(counts)
    values = [-1] * counts[0] + [0] * counts[1] + [1] * counts[2]
    sums = [sum(resample) for resample in itertools.product(values, repeat=n)]
    exact = [sums.count(s) / len(sums) for s in range(-n, n + 1)]
    assert _convolved(counts) == pytest.approx(exact, abs=1e-12)


@given(n=st.integers(2, 400), data=st.data(), level=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
@settings(deadline=None)
def test_the_interval_of_an_accuracy_has_binomial_quantiles(n, data, level):
    hits = data.draw(st.integers(1, n - 1))
    interval = accuracy([True] * hits + [False] * (n - hits), level=level)
    assert interval is not None
    law = stats.binom(n, hits / n)
    # A quantile is right if the mass below it is too small and the mass up to it is enough.
    for value, mass in ((interval.low, (1 - level) / 2), (interval.high, (1 + level) / 2)):
        k = round(value * n)
        assert law.cdf(k) >= mass - 1e-9
        assert law.cdf(k - 1) <= mass + 1e-9
    assert interval.mean == hits / n


def test_it_agrees_with_scipys_resampling():
    rng = np.random.default_rng(0)
    first, second = rng.random(150) < 0.7, rng.random(150) < 0.5
    result = compare(dict(enumerate(first)), dict(enumerate(second)))
    assert result is not None
    sampled = stats.bootstrap(
        (first.astype(float) - second,), np.mean, n_resamples=20000, method="percentile", rng=rng
    ).confidence_interval
    assert result.difference.low == pytest.approx(sampled.low, abs=0.015)
    assert result.difference.high == pytest.approx(sampled.high, abs=0.015)


def test_large_samples_keep_their_precision():
    interval = accuracy([True] * 30_000 + [False] * 10_000)
    assert interval is not None
    half = 1.959964 * (0.75 * 0.25 / 40_000) ** 0.5
    assert interval.low == pytest.approx(0.75 - half, abs=1e-4)
    assert interval.high == pytest.approx(0.75 + half, abs=1e-4)


@pytest.mark.parametrize("right", [True, False])
@given(n=st.integers(1, 60))
@settings(deadline=None)
def test_equal_outcomes_give_the_exact_binomial_interval(right, n):
    interval = accuracy([right] * n)
    exact = stats.binomtest(n * right, n).proportion_ci(0.95)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((exact.low, exact.high))


def test_no_problems_no_interval():
    assert accuracy([]) is None
    assert compare({"a": True}, {"b": True}) is None


@given(wins=st.integers(0, 30), losses=st.integers(0, 30))
def test_mcnemar_is_a_tail_of_fair_coins(wins, losses):
    n, least = wins + losses, min(wins, losses)
    tail = 2 * sum(comb(n, k) for k in range(least + 1)) / 2**n
    assert mcnemar(wins, losses) == pytest.approx(min(1.0, tail))


outcomes = st.dictionaries(st.integers(0, 20), st.booleans(), min_size=1)


@given(one=outcomes, two=outcomes)
@settings(deadline=None)
def test_a_comparison_is_antisymmetric(one, two):
    result, back = compare(one, two), compare(two, one)
    if result is None or back is None:
        assert not one.keys() & two.keys()
        return
    assert (result.wins, result.losses) == (back.losses, back.wins)
    assert result.difference.mean == pytest.approx((result.wins - result.losses) / result.n)
    assert result.difference.mean == -back.difference.mean
    assert result.p_value == back.p_value
    assert -1 <= result.difference.low <= result.difference.mean <= result.difference.high <= 1


def test_arms_that_never_differ_are_not_proved_equal():
    same = dict.fromkeys(range(10), True)
    result = compare(same, same)
    assert result is not None
    assert result.p_value == 1.0
    assert result.difference.low < 0 < result.difference.high
