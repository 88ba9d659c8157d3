"""Weighted statistics against pairs counted one by one, SciPy, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.mini import weighted
from experiments.mini.weighted import Resampling
from tts.evaluation.statistics import bootstrap

OBSERVATIONS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.35, 0.5, 0.99, 1.0]),
        st.booleans(),
        st.sampled_from([0.0, 0.2, 0.7, 1.0]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=12,
)


def columns(observations):
    scores, right, other, times = zip(*observations, strict=True)
    return (
        np.array(scores), np.array(right), np.array(other), np.array(times, dtype=np.float64),
        [np.repeat(column, times) for column in (scores, right, other)],
    )  # fmt: skip


@settings(deadline=None)
@given(OBSERVATIONS)
def test_the_area_is_the_share_of_pairs_in_order(observations):
    scores, right, _, weights, (repeated, marks, _) = columns(observations)
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, good in zip(repeated, marks, strict=True)
        for b, bad in zip(repeated, marks, strict=True)
        if good and not bad
    ]
    expected = np.mean(pairs) if pairs else np.nan
    assert weighted.auc(scores, right)(weights) == pytest.approx(expected, nan_ok=True)


@settings(deadline=None)
@given(OBSERVATIONS)
def test_correlations_are_those_of_scipy_with_observations_repeated(observations):
    x, _, y, weights, (repeated_x, _, repeated_y) = columns(observations)
    if len(set(repeated_x)) < 2 or len(set(repeated_y)) < 2:
        return
    for ours, theirs in ((weighted.pearson, stats.pearsonr), (weighted.spearman, stats.spearmanr)):
        expected = theirs(repeated_x, repeated_y).statistic
        assert ours(x, y)(weights) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(OBSERVATIONS)
def test_calibration_error_of_weights_is_that_of_observations_repeated(observations):
    scores, right, _, weights, (repeated, marks, _) = columns(observations)
    if not weights.sum():
        return
    once = weighted.calibration_error(repeated, marks)(np.ones(len(repeated)))
    assert weighted.calibration_error(scores, right)(weights) == pytest.approx(once)


def test_calibration_error_of_constructed_scores():
    scores = np.repeat([0.05, 0.75, 1.0], [20, 40, 40])
    right = np.concatenate([np.arange(20) < 1, np.arange(40) < 30, np.arange(40) < 40])
    ones = np.ones(100)
    assert weighted.calibration_error(scores, right)(ones) == pytest.approx(0.0)
    # Half of the second bin is right instead of three quarters: 40 of 100 are off by a quarter.
    right[20:60] = np.arange(40) < 20
    assert weighted.calibration_error(scores, right)(ones) == pytest.approx(0.1)
    # Errors of opposite signs do not cancel between bins.
    right[:20] = np.arange(20) < 6
    assert weighted.calibration_error(scores, right)(ones) == pytest.approx(0.1 + 0.2 * 0.25)


def test_a_score_of_one_is_in_the_last_bin():
    assert weighted.bins(np.array([0.0, 0.1, 0.9999, 1.0])).tolist() == [0, 1, 9, 9]


def test_a_share_is_among_some():
    among = np.array([True, True, True, False])
    chosen = np.array([True, False, False, True])
    statistic = weighted.share(chosen, among)
    assert statistic(np.ones(4)) == pytest.approx(1 / 3)
    assert statistic(np.array([2.0, 1.0, 1.0, 9.0])) == pytest.approx(0.5)
    assert np.isnan(statistic(np.array([0.0, 0.0, 0.0, 1.0])))


def test_resampling_of_groups_agrees_with_the_exact_bootstrap_over_problems():
    rng = np.random.default_rng(1)
    means = rng.integers(0, 5, 80) / 4  # problems of four answers each
    values = np.array([np.arange(4) < 4 * mean for mean in means]).ravel().astype(np.float64)
    found = Resampling(np.repeat(np.arange(80), 4), 4000)(weighted.average(values))
    exact = bootstrap(means.tolist(), (4,), bounds=(0.0, 1.0))
    assert found.mean == pytest.approx(exact.mean)
    assert found.low == pytest.approx(exact.low, abs=0.008)
    assert found.high == pytest.approx(exact.high, abs=0.008)


def test_copies_of_an_observation_in_its_group_add_no_certainty():
    rng = np.random.default_rng(2)
    values, groups = rng.random(50), np.arange(50)
    once = Resampling(groups)(weighted.average(values))
    often = Resampling(np.repeat(groups, 10))(weighted.average(np.repeat(values, 10)))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_what_is_never_a_number_has_no_interval():
    found = Resampling(np.arange(3))(weighted.auc(np.arange(3.0), np.ones(3, dtype=np.bool_)))
    assert np.isnan([found.mean, found.low, found.high]).all()
