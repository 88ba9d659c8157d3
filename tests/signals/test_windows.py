"""Windows and what they make of an answer: closed forms, and brute force."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from tts.signals.windows import Window, groups, percentile, score_of

confidences = st.lists(st.floats(-5, 40), min_size=1, max_size=40)
sizes = st.integers(1, 45)


def brute(values, size):
    """Means of all windows, one by one."""
    starts = range(max(1, len(values) - size + 1))
    return [np.mean(values[start : start + size]) for start in starts]


@given(values=confidences, size=sizes)
def test_groups_are_the_means_of_all_windows(values, size):
    assert groups(values, size) == approx(brute(values, size), abs=1e-9)


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
        assert score_of(values, name, size) == approx(value, abs=1e-9)


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
    assert found == approx(np.percentile(values, 100 * share), abs=1e-9)
    assert min(values) <= found <= max(values)
