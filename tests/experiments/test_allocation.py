"""What is measured beside the experiment on allocation, on numbers worked out by hand."""

from __future__ import annotations

import pytest

from experiments.allocation.beliefs import Beliefs, rates, types_of
from experiments.allocation.utility import resampled, stops_at, two_fold


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


def test_a_perfect_verifier_stops_where_one_more_costs_more_than_it_brings():
    # One type: every sample is right with 0.5, so going on is always worth it, up to the most.
    assert stops_at(Beliefs([[1.0, 0.5]], 1.0, 1.0), 9) == 9
    # A price of 0.01 against a chance of 0.005.
    assert stops_at(Beliefs([[1.0, 0.005]], 1.0, 1.0), 9) == 0
    # Hopeless with 0.9, easy with 0.1: after n rejections easy has 0.1 * 0.5 ** n of the weight.
    # One more brings half of that; below 0.01 from the third rejection on.
    assert stops_at(Beliefs([[0.9, 0.0], [0.1, 0.5]], 1.0, 1.0), 9) == 3


def test_each_half_is_judged_by_what_the_other_teaches():
    # Whatever is learnt from half of them, the first sample is accepted and ends it.
    pool = {f"p{i}": [sample(0.9, i % 4 > 0)] * 3 for i in range(40)}
    numbers, found = two_fold(pool, 0.5, splits=2)
    assert set(numbers) <= {1, 2, 3}
    expected = {f"p{i}": 0.99 if i % 4 else -1.01 for i in range(40)}
    assert found == pytest.approx(expected)
