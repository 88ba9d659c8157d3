"""The area under the ROC curve against counts of pairs, closed forms and simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.audit.auc import auc, standard_error

SCORES = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12)


def test_by_hand():
    """Of six pairs 4 are won and 1 is tied."""
    assert auc([1.0, 3.0], [0.0, 1.0, 2.0]).mean == pytest.approx(4.5 / 6)


@given(SCORES, SCORES)
def test_it_is_the_share_of_pairs_that_are_won(candidate, honest):
    pairs = [(a > b) + (a == b) / 2 for a in candidate for b in honest]
    found = auc(candidate, honest)
    assert found.mean == pytest.approx(sum(pairs) / len(pairs))
    assert 0 <= found.low <= found.mean <= found.high <= 1
    swapped = auc(honest, candidate)
    assert (swapped.low, swapped.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-9)


@given(st.integers(1, 500), st.integers(1, 500))
def test_without_a_difference_the_error_is_that_of_the_rank_sum(m, n):
    assert standard_error(0.5, m, n) == pytest.approx(math.sqrt((m + n + 1) / (12 * m * n)))


def test_where_all_is_told_apart_the_interval_still_says_something():
    found = auc(list(range(100, 130)), list(range(30)))
    assert found.mean == found.high == 1 and 0.85 < found.low < 0.95
    assert auc([0.0] * 30, [0.0] * 30).mean == 0.5


@pytest.mark.parametrize(("shift", "true"), [(0.0, 0.5), (1.0, 0.7602), (2.5, 0.9615)])
def test_the_interval_covers_the_truth(shift, true):
    """Normal scores: the area is the normal distribution function of shift / sqrt(2)."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(400):
        found = auc(rng.normal(shift, 1, 40).tolist(), rng.normal(0, 1, 40).tolist())
        hits += found.low <= true <= found.high
    assert hits / 400 > 0.925
