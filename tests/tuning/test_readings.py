"""Pieces of the workload, what they are worth, and how that is compared."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.tuning.engine.readings import Reading, differing, percentile, pieces, ratio, shown
from tts.types import Problem

READING = Reading(2.0, 300, (1.0, 0.5, 2.0), {"a#0": "1"})


def test_what_a_piece_is_worth():
    assert READING.worth("throughput") == 150
    assert READING.worth("latency") == 1
    assert shown(READING.worth("latency"), "latency") == 1
    assert shown(0.25, "latency") == 4 and shown(150.0, "throughput") == 150
    assert Reading(1.0, 0, (1.0,), {}).worth("throughput") == 1  # a logarithm can be taken


def test_ratios_are_averaged_as_logarithms():
    assert ratio([2.0, 1.0], [1.0, 2.0]) == pytest.approx(1.0)
    assert ratio([8.0, 2.0], [1.0, 1.0]) == pytest.approx(4.0)
    assert ratio([3.0], [1.5, 7.0]) == pytest.approx(2.0)  # on the pieces that both have


def test_percentiles_are_values():
    values = [float(n) for n in range(1, 21)]
    assert percentile(values, 0.95) == 19
    assert percentile(values, 0.5) == 10
    assert percentile([3.0], 0.95) == 3


def test_other_answers_are_counted_where_both_answered():
    assert differing({"a": "1", "b": None, "c": "2"}, {"a": "1", "b": "3", "d": "4"}) == 1


@given(st.integers(1, 9), st.integers(1, 7), st.integers(1, 5))
def test_no_draw_comes_twice(problems, size, count):
    given_ = [Problem(f"p{n}", prompt="?") for n in range(problems)]
    found = pieces(given_, size, count)
    assert len(found) == count + 1 and {len(piece) for piece in found} == {size}
    names = [(problem.id, problem.repeat) for piece in found for problem in piece]
    assert len(set(names)) == len(names)
    assert max(repeat for _, repeat in names) == math.ceil(size * (count + 1) / problems) - 1
