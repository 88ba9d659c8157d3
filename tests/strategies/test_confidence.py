"""Confidence of tokens, windows and answers: closed forms, and brute force."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.errors import BackendError
from tts.strategies._confidence import (
    FLOOR,
    Window,
    confidences_of,
    groups,
    percentile,
    score_of,
    token_confidence,
    token_confidences,
)
from tts.types import Chunk, Segment, Trajectory

confidences = st.lists(st.floats(0, 40), min_size=1, max_size=40)
sizes = st.integers(1, 45)


def brute(values, size):
    """Means of all windows, one by one."""
    starts = range(max(1, len(values) - size + 1))
    return [np.mean(values[start : start + size]) for start in starts]


@pytest.mark.parametrize("k", [1, 4, 20])
def test_an_even_distribution_has_the_logarithm_of_its_size(k):
    even = {token: -math.log(50) for token in range(50)}
    assert token_confidence(even, k) == pytest.approx(math.log(50))


def test_by_hand():
    top = {7: math.log(0.5), 3: math.log(0.25), 9: math.log(0.125)}
    assert token_confidence(top, 2) == pytest.approx(1.5 * math.log(2))
    assert token_confidence(top, 3) == pytest.approx(2 * math.log(2))
    assert token_confidence(top, 20) == token_confidence(top, 3)  # a vocabulary of three
    assert token_confidence({0: 0.0, 1: -math.inf}, 2) == -FLOOR / 2


@given(p=st.floats(0.02, 0.97), more=st.floats(0.001, 0.02))
def test_the_more_peaked_the_more_confident(p, more):
    def peak(p):
        return token_confidence(
            {0: math.log(p), **{i: math.log((1 - p) / 99) for i in range(1, 100)}}, 100
        )

    assert (peak(p + more) > peak(p)) == (p + more / 2 > 0.01)


@given(values=confidences, size=sizes)
def test_groups_are_the_means_of_all_windows(values, size):
    assert groups(values, size) == pytest.approx(brute(values, size), abs=1e-9)


@given(values=confidences, size=sizes)
def test_a_window_says_nothing_until_it_is_full(values, size):
    window = Window(size)
    said = [window.add(value) for value in values]
    assert said[: size - 1] == [None] * min(len(values), size - 1)
    assert None not in said[size - 1 :]


@given(values=confidences, size=sizes, cuts=st.sets(st.integers(1, 39)))
def test_the_lowest_group_is_the_same_in_whatever_chunks_it_comes(values, size, cuts):
    edges = [0, *sorted(cut for cut in cuts if cut < len(values)), len(values)]
    window = Window(size)
    lowest = min(window.lowest(values[a:b]) for a, b in pairwise(edges))
    assert lowest == (score_of(values, "lowest", size) if len(values) >= size else math.inf)


@given(value=st.floats(0, 40), length=st.integers(1, 200), size=sizes)
def test_windows_over_equal_values_are_equal(value, length, size):
    assert len({*groups([value] * length, size)}) == 1


@given(values=confidences, size=sizes)
def test_scores_are_what_they_are_called(values, size):
    means = sorted(brute(values, size))
    expected = {
        "mean": np.mean(values),
        "tail": np.mean(values[-size:]),
        "bottom": np.mean(means[: max(1, len(means) // 10)]),
        "lowest": means[0],
    }
    for name, value in expected.items():
        assert score_of(values, name, size) == pytest.approx(value, abs=1e-9)


def test_scores_by_hand():
    values = [4.0, 2.0, 6.0, 2.0, 0.0, 4.0]  # windows of two: 3, 4, 4, 1, 2
    assert groups(values, 2) == [3, 4, 4, 1, 2]
    scores = [score_of(values, name, 2) for name in ("mean", "tail", "bottom", "lowest")]
    assert scores == [3, 2, 1, 1]
    long = [float(i) for i in range(20)]  # windows of one: the lowest tenth are 0 and 1
    assert score_of(long, "bottom", 1) == 0.5
    assert groups([1.0, 2.0], 5) == [1.5]
    assert {score_of([], name, 5) for name in ("mean", "tail", "bottom", "lowest")} == {0.0}


@given(values=confidences, share=st.floats(0, 1))
def test_a_percentile_is_numpys(values, share):
    found = percentile(values, share)
    assert found == pytest.approx(np.percentile(values, 100 * share), abs=1e-9)
    assert min(values) <= found <= max(values)


def test_only_what_the_model_wrote_counts():
    node = Trajectory.root()
    for number, (origin, value) in enumerate([("model", 1), ("injected", None), ("model", 3)]):
        tops = value and ({0: -float(value)},)
        node = node.extend(Segment("x", top_logprobs=tops, origin=origin), child=0, clock=number)
    assert confidences_of(node, 1) == [1, 3]
    assert list(token_confidences(Chunk("x", top_logprobs=({0: -2.0}, {0: -3.0})), 1)) == [2, 3]
    assert list(token_confidences(Chunk("x"), 1)) == []


def test_without_any_it_is_a_fault():
    node = Trajectory.root().extend(Segment("x", logprobs=(-0.5,)), child=0, clock=1)
    with pytest.raises(BackendError, match="likeliest"):
        confidences_of(node, 1)
