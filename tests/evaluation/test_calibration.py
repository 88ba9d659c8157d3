"""Thresholds for a share: by counting, at the ends, with ties, and with their intervals."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.errors import ConfigError
from tts.evaluation.calibration import calibrate

GRID = {"a": [0.0, 1.0, 2.0, 3.0, 4.0], "b": [5.0, 6.0, 7.0, 8.0, 9.0]}


def share_of(measured, threshold, rising):
    values = [v for each in measured.values() for v in each]
    return sum((v >= threshold) if rising else (v < threshold) for v in values) / len(values)


@pytest.mark.parametrize("rising", [True, False])
@pytest.mark.parametrize("wanted", [0.0, 0.1, 0.3, 0.5, 1.0])
def test_shares_that_can_be_had_are_had(wanted, rising):
    found = calibrate(GRID, wanted, rising=rising)
    assert found.share.mean == pytest.approx(wanted)
    assert share_of(GRID, found.threshold, rising) == pytest.approx(wanted)
    assert (found.n_problems, found.n_steps) == (2, 10)


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=6).filter(any),
    st.floats(0, 1),
    st.booleans(),
)
def test_no_other_threshold_comes_nearer(values, wanted, rising):
    measured = {str(i): each for i, each in enumerate(values)}
    found = calibrate(measured, wanted, rising=rising)
    assert share_of(measured, found.threshold, rising) == pytest.approx(found.share.mean)
    others = [share_of(measured, t, rising) for t in (*range(11), -1.0)]
    nearest = min(abs(share - wanted) for share in others)
    assert abs(found.share.mean - wanted) == pytest.approx(nearest, abs=1e-9)


def test_the_interval_holds_the_threshold_of_the_whole_population():
    held = 0
    for seed in range(60):
        rng = random.Random(seed)
        measured = {}
        for i in range(80):
            level = rng.gauss(0, 1)  # steps of one problem are alike
            measured[str(i)] = [level + rng.gauss(0, 1) for _ in range(rng.randint(2, 6))]
        found = calibrate(measured, 0.3, rising=True, seed=seed)
        assert found.low <= found.threshold <= found.high
        assert found.share.low <= found.share.mean <= found.share.high
        held += found.low <= math.sqrt(2) * 0.5244005 <= found.high  # the normal's 70th percentile
    assert held >= 51  # 57 are expected; fewer than 51 of 60 at 95% in one of 100,000 series


def test_problems_without_a_step_say_nothing():
    assert calibrate({**GRID, "c": []}, 0.5, rising=True) == calibrate(GRID, 0.5, rising=True)
    with pytest.raises(ConfigError, match="No step was measured"):
        calibrate({"a": []}, 0.5, rising=True)
    with pytest.raises(ConfigError, match=r"must lie in \[0, 1\]"):
        calibrate(GRID, 1.5, rising=True)


def test_the_threshold_is_one_that_can_be_typed():
    threshold = calibrate({"a": [1 / 3, 2 / 3]}, 0.5, rising=True).threshold
    assert float(f"{threshold:g}") == threshold == 0.5
