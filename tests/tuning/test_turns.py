"""The contest: whose turn it is, and what the rounds show."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.tuning.engine.turns import median_interval, order, standings


@given(st.integers(1, 6))
def test_everyone_has_every_turn_equally_often(count):
    names = [f"c{n}" for n in range(count)]
    seen = Counter()
    for number in range(2 * count):
        turns = order(names, number)
        assert sorted(turns) == names
        seen.update(enumerate(turns))
    assert set(seen.values()) == {2}


def test_ratios_are_taken_within_a_round():
    """The machine is ten times slower in every other round; the ratios do not know."""
    rounds = [{"a": 12 * f, "b": 11 * f, "theirs": 8 * f, "ours": 10 * f} for f in (1, 10, 1, 10)]
    first, second = standings(rounds, ["b", "a"], ["theirs", "ours"])
    assert (first.name, second.name) == ("a", "b")
    for name, value in (("theirs", 1.5), ("ours", 1.2)):
        one = first.over[name]
        assert [one.low, one.mean, one.high] == pytest.approx([value] * 3)


def test_a_median_by_hand():
    found = median_interval([1.0, 2.0, 4.0], 0.95)
    assert found.mean == 2
    # All three draws are 1.0, or two of them, with chance 7/27: the interval is the range.
    assert (found.low, found.high) == (1, 4)
    assert median_interval([3.0], 0.95).low == 3


def test_an_interval_holds_its_median_most_of_the_time():
    rng = random.Random(0)
    held = 0
    for _ in range(60):
        found = median_interval([rng.gauss(1, 0.1) for _ in range(15)], 0.95)
        held += found.low <= 1 <= found.high
    assert held >= 51


def test_more_finalists_widen_the_intervals():
    rng = random.Random(0)
    rounds = [{n: rng.lognormvariate(0, 0.2) for n in ("a", "b", "c", "ours")} for _ in range(12)]
    alone = standings(rounds, ["a"], ["ours"])[0].over["ours"]
    together = next(s for s in standings(rounds, ["a", "b", "c"], ["ours"]) if s.name == "a")
    wide = together.over["ours"]
    assert wide.low <= alone.low and wide.high >= alone.high and wide != alone
