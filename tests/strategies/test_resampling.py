"""Resampling keeps expectations, and sizes of samples are what their formulas say."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.strategies._resampling import RESAMPLERS, effective_size, log_mean, normalised

SCHEMES = pytest.mark.parametrize("scheme", RESAMPLERS.values(), ids=RESAMPLERS)
weights = st.lists(st.sampled_from([0.0, 1e-9]) | st.floats(0.001, 1e6), min_size=1, max_size=12)
some = weights.filter(any)
logs = st.lists(st.floats(-700, 700), min_size=1, max_size=12)
seeds = st.integers(0, 2**32)


@SCHEMES
def test_each_index_comes_as_often_as_its_weight_says(scheme):
    weights, size, runs = [0.1, 2.3, 0.0, 0.9, 1.2, 0.5], 4, 20_000
    rng = random.Random(5)
    counts = Counter(i for _ in range(runs) for i in scheme(weights, size, rng))
    for i, weight in enumerate(weights):
        share = weight / sum(weights)
        # No scheme varies more than independent draws do.
        spread = math.sqrt(runs * size * share * (1 - share))
        assert abs(counts[i] - runs * size * share) <= 4 * spread


@SCHEMES
@given(weights=some, size=st.integers(1, 30), seed=seeds)
def test_as_many_are_drawn_as_asked_and_none_without_weight(scheme, weights, size, seed):
    drawn = scheme(weights, size, random.Random(seed))
    assert len(drawn) == size
    assert all(weights[i] > 0 for i in drawn)


@pytest.mark.parametrize(
    ("name", "below", "above"),
    [("systematic", 1, 1), ("residual", 1, math.inf), ("stratified", 2, 2)],
)
@given(weights=some, size=st.integers(1, 30), seed=seeds)
def test_counts_stray_no_further_than_the_scheme_lets(name, below, above, weights, size, seed):
    counts = Counter(RESAMPLERS[name](weights, size, random.Random(seed)))
    for i, weight in enumerate(weights):
        expected = size * weight / math.fsum(weights)
        assert expected - below - 1e-9 < counts[i] < expected + above + 1e-9


@pytest.mark.parametrize("name", ["systematic", "residual", "stratified"])
@given(n=st.integers(1, 200), weight=st.floats(1e-300, 1e300), seed=seeds)
def test_equal_weights_keep_everyone(name, n, weight, seed):
    drawn = RESAMPLERS[name](normalised([math.log(weight)] * n), n, random.Random(seed))
    assert drawn == list(range(n))


@given(logs)
def test_the_effective_size_is_its_formula(logs):
    top = max(logs)
    weights = [math.exp(value - top) for value in logs]
    formula = sum(weights) ** 2 / sum(w * w for w in weights)
    assert effective_size(logs) == pytest.approx(formula)
    assert effective_size([value + 123 for value in logs]) == pytest.approx(formula)
    assert 1 - 1e-9 <= effective_size(logs) <= len(logs) + 1e-9


@pytest.mark.parametrize(
    ("logs", "size"),
    [
        ([0.0] * 8, 8),
        ([-1e6] * 8, 8),
        ([1e6] * 8, 8),
        ([0.0, -math.inf, -math.inf], 1),
        ([0.0, -1e6], 1),
        ([0.0, 0.0, -math.inf], 2),
        ([math.log(3), 0.0], 16 / 10),
        ([-math.inf, -math.inf], 0),
    ],
)
def test_the_effective_size_of_extremes(logs, size):
    assert effective_size(logs) == pytest.approx(size, rel=1e-12)


@given(logs)
def test_the_mean_of_weights_survives_the_logarithm(logs):
    top = max(logs)
    mean = math.fsum(math.exp(value - top) for value in logs) / len(logs)
    assert log_mean(logs) - top == pytest.approx(math.log(mean), abs=1e-9)
    assert log_mean([1e4 + value for value in logs]) == pytest.approx(1e4 + log_mean(logs))


def test_no_weight_at_all_is_no_error():
    assert log_mean([-math.inf] * 3) == -math.inf
    assert normalised([-math.inf] * 3) == [0, 0, 0]


@given(logs)
def test_normalised_weights_add_up_to_one(logs):
    assert math.fsum(normalised(logs)) == pytest.approx(1)
