"""Fitted laws against the laws that made the points; the front against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.errors import ConfigError
from tts.evaluation.laws import (
    CoverageLaw,
    Saturation,
    fit_coverage,
    fit_coverage_of,
    fit_saturation,
    log_grid,
)
from tts.evaluation.pareto import front

relaxed = settings(deadline=None, max_examples=50)
sorted_rows = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


@given(a=st.floats(-4, -0.2), b=st.floats(-1, -0.1))
@relaxed
def test_points_of_a_power_law_give_it_back(a, b):
    exact = CoverageLaw(a, b, 0, 0)
    law = fit_coverage({k: exact.at(k) for k in log_grid(1000)})
    assert (law.a, law.b) == pytest.approx((a, b), rel=1e-5)
    assert law.max_residual < 1e-7


def test_residuals_are_distances_in_coverage():
    points = {1: 0.2, 4: 0.5, 16: 0.6, 64: 0.9}
    law = fit_coverage(points)
    gaps = [abs(math.exp(law.a * k**law.b) - c) for k, c in points.items()]
    assert law.max_residual == pytest.approx(max(gaps))
    assert law.mean_residual == pytest.approx(sum(gaps) / 4)

    def squares(a, b):
        return sum((math.exp(a * k**b) - c) ** 2 for k, c in points.items())

    best = squares(law.a, law.b)
    for da, db in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert squares(law.a + da, law.b + db) > best


def test_points_at_the_ends_are_dropped():
    law = fit_coverage({1: 0.0, 2: 0.3, 8: 0.5, 32: 1.0})
    assert law == fit_coverage({2: 0.3, 8: 0.5})
    with pytest.raises(ConfigError, match="coverage:"):
        fit_coverage({1: 0.0, 2: 0.5, 4: 1.0})


def test_spread_chances_give_a_power_law_with_intervals():
    rng = np.random.default_rng(0)
    chances = rng.beta(0.3, 2, 300)  # much mass near 0, which is where the law comes from
    counts = [(256, int(c)) for c in rng.binomial(256, chances)]
    ks = log_grid(128)
    found = fit_coverage_of(counts, ks, resamples=100)
    assert found == fit_coverage_of(counts, ks, resamples=100)
    assert found.a.low < found.law.a < found.a.high < 0
    assert found.b.low < found.law.b < found.b.high < 0
    assert found.resamples == 100
    assert found.law.max_residual < 0.03
    few = fit_coverage_of(counts[:40], ks, resamples=100)
    assert few.b.high - few.b.low > found.b.high - found.b.low


@pytest.mark.parametrize(
    "limit, p, least, samples", [(0.8, 0.3, 0.01, 9), (0.9, 0.1, 0.01, 21), (0.9, 0.1, 0.001, 43)]
)
def test_saturation_points_are_the_published_ones(limit, p, least, samples):
    assert Saturation(limit, p).enough(least) == samples


@given(limit=st.floats(0.05, 1), p=st.floats(0.01, 1), least=st.floats(1e-4, 0.2))
@relaxed
def test_enough_is_the_first_sample_that_adds_too_little(limit, p, least):
    law = Saturation(limit, p)
    n = law.enough(least)
    assert law.gain(n) <= least * (1 + 1e-6)
    assert n == 0 or law.gain(n - 1) > least
    assert law.at(n + 1) - law.at(n) == pytest.approx(law.gain(n), abs=1e-12)


@given(limit=st.floats(0.2, 1), p=st.floats(0.03, 0.9))
@relaxed
def test_points_of_a_saturating_curve_give_it_back(limit, p):
    law = fit_saturation({n: Saturation(limit, p).at(n) for n in log_grid(128)})
    assert (law.limit, law.p) == pytest.approx((limit, p), rel=1e-4)


@pytest.mark.parametrize(
    "call, named",
    [
        (lambda: fit_saturation({1: 0.2}), "accuracy:"),
        (lambda: fit_saturation({1: 0.0, 2: 0.0}), "accuracy:"),
        (lambda: Saturation(0.5, 0.5).enough(0), "least:"),
        (lambda: fit_coverage_of([], [1]), "counts:"),
        (lambda: fit_coverage_of([(4, 2)], [8]), "k:"),
        (lambda: log_grid(0), "largest"),
    ],
)
def test_bad_input_is_named(call, named):
    with pytest.raises(ConfigError, match=named):
        call()


def test_a_grid_is_even_in_its_logarithm():
    assert log_grid(100) == [1, 2, 4, 8, 16, 32, 64, 100]
    assert log_grid(16, 2) == [1, 2, 3, 4, 6, 8, 11, 16]
    assert log_grid(1) == [1]


@given(rows=sorted_rows)
def test_the_front_is_what_no_row_dominates(rows):
    def dominated(row):
        return any(o[0] <= row[0] and o[1] >= row[1] and o != row for o in rows)

    found = front(rows)
    assert sorted(found) == [i for i, row in enumerate(rows) if not dominated(row)]
    assert [rows[i] for i in found] == sorted(rows[i] for i in found)
