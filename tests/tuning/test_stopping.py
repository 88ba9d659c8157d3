"""Giving up losers: laws, and a simulated machine."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.tuning.engine.stopping import is_behind, spread

LOGS = st.lists(st.floats(-1, 1), min_size=2, max_size=8)


def test_spread_by_hand():
    # The guess counts as four pieces of 0.05; these add four squares of 0.1 and three freedoms.
    assert spread([]) == pytest.approx(0.05)
    squares = 4 * 0.05**2 + 4 * 0.1**2
    assert spread([[0.1, -0.1, 0.1, -0.1], [5.0]]) == pytest.approx(math.sqrt(squares / 7))


def test_one_piece_decides_nothing():
    assert not is_behind([-5.0], 0.0, 0.05)
    assert is_behind([-5.0, -5.0], 0.0, 0.05)


def test_two_standard_errors():
    assert not is_behind([-0.06, -0.06], 0.0, 0.05)  # 2 * 0.05 / sqrt(2) is 0.0707
    assert is_behind([-0.08, -0.08], 0.0, 0.05)
    assert is_behind([-0.06] * 4, 0.0, 0.05)


@given(LOGS, st.floats(0.001, 1), st.floats(0, 1))
def test_who_is_ahead_goes_on(logs, deviation, lead):
    best = sum(logs) / len(logs) - lead
    assert not is_behind(logs, best, deviation)


@given(LOGS, st.floats(-1, 1), st.floats(0.001, 1), st.floats(0, 2))
def test_the_better_the_others_the_sooner_one_is_behind(logs, best, deviation, more):
    if is_behind(logs, best, deviation):
        assert is_behind(logs, best + more, deviation)
        assert is_behind(logs, best, deviation / 2)


def test_the_best_is_seldom_given_up_and_losers_often():
    """Pieces that vary by 10%, an equal of the best, and one that is 30% slower; four pieces."""
    rng = random.Random(1)

    def given_up(mean):
        logs, known = [], [[rng.gauss(0, 0.1) for _ in range(4)] for _ in range(5)]
        for _ in range(3):
            logs.append(rng.gauss(mean, 0.1))
            if is_behind(logs, 0.0, spread([*known, logs])):
                return True
        return False

    equal = sum(given_up(0.0) for _ in range(400)) / 400
    slower = sum(given_up(math.log(0.7)) for _ in range(400)) / 400
    assert equal < 0.15
    assert slower > 0.9
