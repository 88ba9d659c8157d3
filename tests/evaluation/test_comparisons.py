"""Corrections against their definitions, and against runs in which nothing is true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tts.errors import ConfigError
from tts.evaluation.comparisons import benjamini_hochberg, compare_all, holm, max_t
from tts.evaluation.statistics import compare

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)
levels = st.sampled_from([0.01, 0.05, 0.2])


def table(rng, chances):
    """One arm: one outcome for each chance."""
    return {str(i): [bool(hit)] for i, hit in enumerate(rng.random(len(chances)) < chances)}


@given(p=p_values, alpha=levels)
def test_holm_rejects_what_stepping_down_rejects(p, alpha):
    rejected, left = set(), sorted(range(len(p)), key=lambda i: p[i])
    while left and p[left[0]] * len(left) <= alpha:
        rejected.add(left.pop(0))
    assert {i for i, q in enumerate(holm(p)) if q <= alpha} == rejected


@given(p=p_values)
def test_benjamini_hochberg_is_scipys(p):
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p), abs=1e-12)


@given(p=p_values)
def test_corrections_lie_between_the_raw_value_and_bonferronis(p):
    for raw, discovery, family in zip(p, benjamini_hochberg(p), holm(p), strict=True):
        assert raw <= discovery + 1e-12 <= family + 2e-12
        assert family <= min(1, raw * len(p)) + 1e-12 or family >= raw


def test_the_example_of_holms_paper_order():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_family_corrects_p_values_and_intervals():
    rng = np.random.default_rng(0)
    chances = rng.random(300)
    reference = table(rng, chances)
    arms = {str(j): table(rng, chances**0.8) for j in range(4)}
    found = compare_all(arms, reference)
    for label, one in found.items():
        alone = compare(arms[label], reference)
        wide = compare(arms[label], reference, level=1 - 0.05 / 4)
        assert one.comparison == alone
        assert one.simultaneous == wide.difference
        assert one.p_value >= alone.p_value
    raw = [one.comparison.p_value for one in found.values()]
    assert [one.p_value for one in found.values()] == holm(raw)
    other = compare_all(arms, reference, correction="benjamini-hochberg")
    assert [one.p_value for one in other.values()] == benjamini_hochberg(raw)


def test_an_arm_on_other_problems_counts_for_nothing():
    reference = {"a": [1], "b": [0]}
    found = compare_all({"x": {"a": [0], "b": [0]}, "y": {"c": [1]}}, reference)
    assert list(found) == ["x"]
    assert found["x"].p_value == found["x"].comparison.p_value
    assert compare_all({}, reference) == {}


def test_max_t_holds_all_intervals_together_and_is_narrower():
    rng = np.random.default_rng(1)
    held, tries = 0, 200
    for _ in range(tries):
        chances = rng.random(120)
        reference = table(rng, chances)
        arms = {str(j): table(rng, chances) for j in range(6)}
        found = max_t(arms, reference, resamples=400)
        held += all(one.low <= 0 <= one.high for one in found.values())
    assert held / tries == pytest.approx(0.95, abs=0.04)
    family = compare_all(arms, reference)
    widths = [(one.high - one.low) for one in found.values()]
    bonferroni = [one.simultaneous.high - one.simultaneous.low for one in family.values()]
    assert sum(widths) < sum(bonferroni)


def test_one_arm_alone_has_the_plain_interval():
    rng = np.random.default_rng(2)
    arm, reference = table(rng, np.full(400, 0.7)), table(rng, np.full(400, 0.6))
    alone = compare(arm, reference).difference
    found = max_t({"arm": arm}, reference)["arm"]
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=0.005)
    assert found == max_t({"arm": arm}, reference)["arm"]


@settings(deadline=None)
@given(right=st.booleans())
def test_max_t_refuses_an_arm_without_spread(right):
    same = {"a": [right], "b": [right]}
    with pytest.raises(ConfigError, match="arms: x differs"):
        max_t({"x": same}, same)
    with pytest.raises(ConfigError, match="fewer than two"):
        max_t({"x": same}, {"a": [1]})
