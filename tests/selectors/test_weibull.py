"""The mixture of two Weibull distributions: densities, the fit, and where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pytest import approx
from scipy.stats import weibull_min

from tts.selectors._weibull import FEWEST, Mixture, _cost, fit

TRUE = Mixture(0.4, (3.0, 9.0), (0.3, 0.85))


def sample(mixture, n, seed):
    rng = np.random.default_rng(seed)
    first = rng.random(n) < mixture.share
    draws = [s * rng.weibull(k, n) for k, s in zip(mixture.shapes, mixture.scales, strict=True)]
    return list(np.where(first, *draws))


def density(mixture, x):
    parts = [
        weibull_min.pdf(x, k, scale=s) for k, s in zip(mixture.shapes, mixture.scales, strict=True)
    ]
    return mixture.share * parts[0], (1 - mixture.share) * parts[1]


def test_likelihood_means_and_membership_are_scipys():
    values = np.linspace(0.05, 1.1, 30)
    first, second = density(TRUE, values)
    assert TRUE.likelihood(values) == approx(np.log(first + second).sum())
    assert TRUE.means == approx([weibull_min.mean(3, scale=0.3), weibull_min.mean(9, scale=0.85)])
    assert TRUE.in_the_lower(values) == list(first > second)
    turned = Mixture(1 - TRUE.share, TRUE.shapes[::-1], TRUE.scales[::-1])
    assert turned.in_the_lower(values) == TRUE.in_the_lower(values)


@given(
    share=st.floats(0.2, 0.8),
    shapes=st.tuples(st.floats(0.5, 8), st.floats(0.5, 8)),
    scales=st.tuples(st.floats(0.3, 2), st.floats(0.3, 2)),
)
def test_the_gradient_is_that_of_the_likelihood(share, shapes, scales):
    theta = np.array([share, shapes[0], scales[0], shapes[1], scales[1]])
    logs = np.log([0.15, 0.3, 0.5, 0.8, 0.95])
    value, gradient = _cost(theta, logs)
    assume(value < 100)  # beyond, densities are so small that floats hold but a few digits of them
    assert value == approx(-Mixture(share, shapes, scales).likelihood(np.exp(logs)) / 5)
    moves = 1e-6 * np.eye(5)
    steps = [(_cost(theta + h, logs)[0] - _cost(theta - h, logs)[0]) / 2e-6 for h in moves]
    assert gradient == approx(steps, rel=1e-3, abs=1e-5 * np.abs(gradient).max() + 1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_the_fit_is_at_least_as_likely_as_the_truth(seed):
    values = sample(TRUE, 128, seed)
    found = fit(values)
    assert found.likelihood(values) >= TRUE.likelihood(values)
    assert 0.2 <= found.share <= 0.8


def test_with_many_values_it_finds_the_truth():
    found = fit(sample(TRUE, 20_000, 1))
    low, high = sorted(zip(found.scales, found.shapes, strict=True))
    assert low == approx((0.3, 3.0), rel=0.05)
    assert high == approx((0.85, 9.0), rel=0.05)
    assert min(found.share, 1 - found.share) == approx(0.4, abs=0.02)


def test_no_fit_where_it_would_not_be_stable():
    values = sample(TRUE, FEWEST, 0)
    assert fit(values[:-1]) is None  # fewer than two to a parameter
    assert fit([0.5 + 1e-5 * i for i in range(20)]) is None  # as good as equal
    assert fit([0.7] * 20) is None
    assert fit([0.0] * 20) is None
    assert fit([]) is None
    assert fit([0.5, *(0.9 + 0.01 * i for i in range(9))]) is None  # a spike on one value


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0, 1), max_size=40))
def test_any_probabilities_are_fitted_or_refused(values):
    found = fit(values)
    if found is not None:
        assert np.isfinite(found.likelihood(values))
        assert len(found.in_the_lower(values)) == len(values)
