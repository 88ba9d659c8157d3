"""Pooling answers to sequences, and the rule of the verdict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.audit.verdict import LENGTHS, count_sequences, judge, points, scores, sequences
from tts.evaluation.statistics import Interval


def test_whole_answers_are_pooled_and_cut():
    answers = [
        np.array([1.0, 2.0]),
        np.array([3.0]),
        np.array([4.0, 5.0, 6.0, 7.0]),
        np.array([8.0]),
    ]
    assert sequences(answers, 3).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert sequences(answers, 9).shape == (0, 9)


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 20))
def test_their_number_is_known_from_lengths(lengths, tokens):
    answers = [np.ones(length) for length in lengths]
    assert len(sequences(answers, tokens)) == count_sequences(lengths, tokens)


def test_a_score_is_the_mean_of_the_first_margins():
    margins = np.array([[1.0, 3.0, 100.0], [0.0, 0.0, 0.0]])
    assert scores(margins, 2) == [2, 0]


def test_every_length_is_judged_and_the_whole():
    rng = np.random.default_rng(0)
    same = [rng.exponential(size=(60, 120)) for _ in range(2)]
    other = rng.exponential(1.5, size=(60, 120))
    found = points(other, *same)
    assert [point.tokens for point in found] == [n for n in LENGTHS if n < 120] + [120]
    areas = [point.candidate.mean for point in found]
    assert areas[-1] > areas[0] > 0.5 and areas[-1] > 0.99
    assert found[-1].calibration.low < 0.5 < found[-1].calibration.high


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.45, 0.56, "alike"),
        (0.51, 0.56, "different"),
        (0.30, 0.49, "different"),
        (0.39, 0.55, "undecided"),
        (0.45, 0.61, "undecided"),
        (0.5, 0.5, "alike"),
    ],
)
def test_the_rule(low, high, verdict):
    assert judge(Interval((low + high) / 2, low, high), 0.1) == verdict
