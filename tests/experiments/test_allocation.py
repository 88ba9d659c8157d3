"""What is measured beside the experiment on allocation, on numbers worked out by hand."""

from __future__ import annotations

import pytest

from experiments.allocation.beliefs import rates, types_of
from experiments.allocation.utility import resampled


def sample(score, correct, answer="1"):
    return {"score": {"raw": score}, "correct": correct, "answer": answer}


def test_types_are_fifths_from_the_hardest_to_the_easiest():
    shares = [0.9, 0.1, 0.3, 0.5, 0.7, 1.0, 0.0, 0.2, 0.4, 0.6]
    found = types_of(shares)
    assert [prior for prior, _ in found] == [0.2] * 5
    assert [chance for _, chance in found] == [0.05, 0.25, 0.45, 0.65, 0.95]


def test_rates_are_shares_of_right_and_of_wrong_samples():
    samples = [sample(0.9, True), sample(0.2, True), sample(0.6, False), sample(0.1, False)]
    assert rates(samples, 0.5) == (0.5, 0.5)
    assert rates(samples, 0.95) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("most", "worth"),
    [(1, -0.01), (2, -0.02), (3, -1.03), (4, -1.03)],
)
def test_the_first_accepted_sample_ends_it(most, worth):
    samples = [
        sample(0.9, False, None),  # no answer is never accepted
        sample(0.2, True),
        sample(0.6, False),
        sample(0.8, True),
    ]
    assert resampled(samples, most, 0.5) == pytest.approx(worth)


def test_a_right_one_is_worth_one_less_its_samples():
    assert resampled([sample(0.1, False), sample(0.7, True)], 5, 0.5) == pytest.approx(0.98)


def test_abstaining_costs_only_the_samples():
    assert resampled([sample(0.1, True)] * 3, 3, 0.5) == pytest.approx(-0.03)
