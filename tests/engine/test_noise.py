"""The sampler's noise: against a second implementation, and against the compiled sampler."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine_fixtures import other_peoples_warnings
from tts.engine.noise import draw_numbers, gumbel, is_known, noise_of

_WORD = (1 << 64) - 1


def by_hand(number, token):
    """SplitMix64 in Python's own integers."""

    def mixed(word):
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
        return word ^ (word >> 31)

    bits = mixed((mixed(number) + (token + 1) * 0x9E3779B97F4A7C15) & _WORD) >> 11
    return -math.log(-math.log((bits + 0.5) * 2**-53))


@given(st.integers(0, 2**31 - 1), st.lists(st.integers(0, 300_000), min_size=1, max_size=5))
def test_it_is_a_hash_of_the_number_and_the_token(number, tokens):
    expected = [by_hand(number, token) for token in tokens]
    assert gumbel([number] * len(tokens), tokens) == pytest.approx(expected)


def test_it_has_the_gumbel_distribution():
    values = np.sort(gumbel([5] * 20_000, range(20_000)))
    expected = np.exp(-np.exp(-values))
    assert np.abs(expected - np.arange(20_000) / 20_000).max() < 1.63 / math.sqrt(20_000)


def test_numbers_depend_on_the_seed_alone():
    assert draw_numbers(7, 5) == draw_numbers(7, 8)[:5] != draw_numbers(8, 5)
    assert all(0 <= number < 2**31 for number in draw_numbers(2**48 - 1, 100))


def test_places_have_numbers_of_their_own():
    first, _, third = draw_numbers(9, 3)
    found = noise_of(9, [[4, 2], [], [4]])
    assert found == [pytest.approx([by_hand(first, 4), by_hand(first, 2)]), [], [by_hand(third, 4)]]


def test_the_compiled_sampler_draws_so():
    with other_peoples_warnings():
        assert is_known()
