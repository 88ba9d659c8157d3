"""Intervals and tests against closed forms, exhaustive counts and SciPy."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tts.evaluation._lattice import on_lattice, resampled_sum
from tts.evaluation.statistics import (
    Interval,
    accuracy,
    bootstrap,
    compare,
    mcnemar,
    ratio,
    sign_flip,
)

relaxed = settings(deadline=None)
levels = st.sampled_from([0.5, 0.9, 0.95, 0.99])
small = st.lists(st.integers(-3, 3), min_size=1, max_size=5)
cells = st.lists(st.booleans(), min_size=1, max_size=4)
grids = st.dictionaries(st.integers(0, 12), cells, min_size=1)


def once(outcomes):
    """One repeat of each problem."""
    return {str(i): [outcome] for i, outcome in enumerate(outcomes)}


@given(steps=small)
@relaxed
def test_the_bootstrap_is_that_of_all_resamples(steps):
    least, law = resampled_sum(np.array(steps))
    sums = [sum(resample) for resample in itertools.product(steps, repeat=len(steps))]
    exact = [sums.count(least + i) / len(sums) for i in range(len(law))]
    assert min(sums) == least
    assert law == pytest.approx(exact, abs=1e-12)


@given(n=st.integers(2, 400), data=st.data(), level=levels)
@relaxed
def test_the_interval_of_an_accuracy_has_binomial_quantiles(n, data, level):
    hits = data.draw(st.integers(1, n - 1))
    interval = accuracy(once([True] * hits + [False] * (n - hits)), level=level)
    law = stats.binom(n, hits / n)
    # A quantile is right if the mass below it is too small and the mass up to it is enough.
    for value, mass in ((interval.low, (1 - level) / 2), (interval.high, (1 + level) / 2)):
        k = round(value * n)
        assert law.cdf(k) >= mass - 1e-9
        assert law.cdf(k - 1) <= mass + 1e-9
    assert interval.mean == hits / n


@given(outcomes=grids)
@relaxed
def test_an_accuracy_is_the_mean_of_the_problems_means(outcomes):
    interval = accuracy(outcomes)
    exact = sum(Fraction(sum(r), len(r)) for r in outcomes.values()) / len(outcomes)
    assert interval.mean == pytest.approx(float(exact))
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1


@given(outcomes=grids, level=levels)
@relaxed
def test_equal_repeats_add_nothing(outcomes, level):
    one = {p: repeats[:1] for p, repeats in outcomes.items()}
    many = {p: repeats[:1] * 3 for p, repeats in outcomes.items()}
    first, second = accuracy(one, level=level), accuracy(many, level=level)
    assert (first.low, first.high) == pytest.approx((second.low, second.high))


def test_the_interval_covers_as_often_as_it_says():
    rng, truth, covered = np.random.default_rng(3), 0.4, 0
    for _ in range(1000):
        chances = rng.beta(0.8, 1.2, size=100)  # the problems vary, and so do their repeats
        table = rng.random((100, 3)) < chances[:, None]
        interval = accuracy({str(i): row for i, row in enumerate(table.tolist())})
        covered += interval.low <= truth <= interval.high
    assert covered / 1000 == pytest.approx(0.95, abs=0.025)


def test_it_agrees_with_scipys_resampling():
    rng = np.random.default_rng(0)
    first, second = rng.random((150, 3)) < 0.7, rng.random((150, 2)) < 0.5
    result = compare(dict(enumerate(first.tolist())), dict(enumerate(second.tolist())))
    values = first.mean(1) - second.mean(1)
    sampled = stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", rng=rng
    ).confidence_interval
    assert result.difference.low == pytest.approx(sampled.low, abs=0.005)
    assert result.difference.high == pytest.approx(sampled.high, abs=0.005)


def test_graded_outcomes_are_rounded_with_care():
    values = np.random.default_rng(1).random(400) ** 2
    interval = bootstrap(values.tolist(), bounds=(0.0, 1.0))
    half = 1.959964 * values.std() / 20
    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(values.mean() - half, abs=1e-3)
    assert interval.high == pytest.approx(values.mean() + half, abs=1e-3)


def test_a_lattice_too_fine_is_left_for_a_coarser_one():
    values = np.array([1 / 7, 3 / 11, 5 / 13] * 500)
    steps, scale = on_lattice(values, (7, 11, 13))
    assert scale < 1001
    assert steps / scale == pytest.approx(values, abs=0.5 / scale)


def test_large_samples_keep_their_precision():
    interval = accuracy(once([True] * 30_000 + [False] * 10_000))
    half = 1.959964 * (0.75 * 0.25 / 40_000) ** 0.5
    assert interval.low == pytest.approx(0.75 - half, abs=1e-4)
    assert interval.high == pytest.approx(0.75 + half, abs=1e-4)


@pytest.mark.parametrize("right", [True, False])
@given(n=st.integers(1, 60))
@relaxed
def test_equal_outcomes_give_the_exact_binomial_interval(right, n):
    interval = accuracy(once([right] * n))
    exact = stats.binomtest(n * right, n).proportion_ci(0.95)
    assert (interval.low, interval.high) == pytest.approx((exact.low, exact.high))


def test_a_sweep_may_hide_problems_that_are_lost():
    result = compare(once([True] * 20), once([False] * 20))
    other = 1 - 0.025 ** (1 / 20)
    assert result.difference.low == pytest.approx(1 - 2 * other)
    assert result.difference.high == 1


def test_no_problems_no_interval():
    assert accuracy({}) is None
    assert accuracy({"a": []}) is None
    assert compare({"a": [True]}, {"b": [True]}) is None
    assert compare({"a": [True]}, {"a": []}) is None


@given(wins=st.integers(0, 30), losses=st.integers(0, 30))
def test_mcnemar_is_a_tail_of_fair_coins(wins, losses):
    n, least = wins + losses, min(wins, losses)
    tail = 2 * sum(comb(n, k) for k in range(least + 1)) / 2**n
    assert mcnemar(wins, losses) == pytest.approx(min(1.0, tail))


@given(wins=st.integers(0, 30), losses=st.integers(0, 30), ties=st.integers(0, 5))
@relaxed
def test_flips_of_single_outcomes_are_mcnemars_test(wins, losses, ties):
    values = [1.0] * wins + [-1.0] * losses + [0.0] * ties
    expected = mcnemar(wins, losses)
    assert sign_flip(values or [0.0]) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(steps=st.lists(st.integers(-4, 4), min_size=1, max_size=8))
@relaxed
def test_all_flips_of_signs_are_counted(steps):
    sums = [sum(f) for f in itertools.product(*((s, -s) for s in steps))]
    exact = sum(abs(s) >= abs(sum(steps)) for s in sums) / len(sums)
    assert sign_flip([s / 4 for s in steps], (4,)) == pytest.approx(exact)


@given(one=grids, two=grids)
@relaxed
def test_a_comparison_is_antisymmetric(one, two):
    result, back = compare(one, two), compare(two, one)
    if result is None or back is None:
        assert not one.keys() & two.keys()
        return
    assert (result.wins, result.losses) == (back.losses, back.wins)
    assert result.difference.mean == pytest.approx(-back.difference.mean)
    assert result.p_value == pytest.approx(back.p_value)
    assert -1 <= result.difference.low <= result.difference.high <= 1
    assert 0 < result.p_value <= 1


def test_wins_are_problems_with_a_higher_mean():
    arm = {"a": [1, 1, 0], "b": [0, 1], "c": [0], "d": [1]}
    reference = {"a": [1, 0, 0], "b": [0, 0, 1, 1], "c": [0, 1]}
    result = compare(arm, reference)
    assert (result.n, result.wins, result.losses) == (3, 1, 1)
    assert result.difference.mean == pytest.approx((1 / 3 + 0 - 1 / 2) / 3)


def test_arms_that_never_differ_are_not_proved_equal():
    result = compare(once([True] * 10), once([True] * 10))
    assert result.p_value == 1.0
    assert result.difference.low < 0 < result.difference.high


def test_a_tiny_p_value_is_never_zero():
    assert sign_flip([0.5] * 300, (2,)) == pytest.approx(math.ldexp(1, -299))


def test_the_interval_of_a_ratio_is_where_the_paired_t_test_does_not_reject():
    rng = np.random.default_rng(0)
    reference = rng.lognormal(4, 0.5, 60)
    arm = 0.4 * reference + rng.lognormal(2, 0.5, 60)
    found = ratio(once(arm), once(reference))
    assert found.mean == pytest.approx(arm.mean() / reference.mean())
    for end in (found.low, found.high):
        assert stats.ttest_1samp(arm - end * reference, 0).pvalue == pytest.approx(0.05)
    assert stats.ttest_1samp(arm - found.mean * reference, 0).pvalue == pytest.approx(1)


def test_the_interval_of_a_ratio_covers_the_true_one():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        reference = rng.gamma(4, 25, 40)
        arm = rng.gamma(2, 25, 40) * reference / 100
        found = ratio(once(arm), once(reference))
        hits += found.low <= 0.5 <= found.high
    assert 0.9 < hits / 400 < 0.98


def test_a_ratio_that_cannot_be_told_is_open():
    one = {"a": [2.0]}
    assert ratio(one, {"a": [4.0]}) == Interval(0.5, 0.0, math.inf)
    assert ratio(one, {"a": [0.0]}) == Interval(math.inf, 0.0, math.inf)
    wide = ratio(once([1, 1, 1]), once([0, 0, 30]))
    assert wide.high == math.inf
