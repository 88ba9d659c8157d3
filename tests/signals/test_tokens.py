"""Confidence, self-certainty and entropy of tokens: closed forms, and definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx
from scipy.stats import entropy

from tts.signals.tokens import (
    FLOOR,
    token_confidence,
    token_confidences,
    token_entropy,
    token_self_certainty,
)
from tts.types import Chunk

distributions = st.lists(st.floats(0.01, 1), min_size=2, max_size=30).map(
    lambda parts: {i: math.log(part / sum(parts)) for i, part in enumerate(parts)}
)
TOP = {7: math.log(0.5), 3: math.log(0.25), 9: math.log(0.125)}


@pytest.mark.parametrize("k", [1, 4, 20])
def test_of_an_even_distribution(k):
    even = {token: -math.log(50) for token in range(50)}
    assert token_confidence(even, k) == approx(math.log(50))
    assert token_self_certainty(even, k) == approx(0.0, abs=1e-12)
    assert token_entropy(even, k) == approx(math.log(k))


def test_by_hand():
    assert token_confidence(TOP, 2) == approx(1.5 * math.log(2))
    assert token_confidence(TOP, 3) == approx(2 * math.log(2))
    assert token_confidence(TOP, 20) == token_confidence(TOP, 3)  # a vocabulary of three
    # The two likeliest share what they have as 2/3 and 1/3.
    assert token_entropy(TOP, 2) == approx(math.log(3) - 2 / 3 * math.log(2))
    assert token_self_certainty(TOP, 2) == approx(math.log(3) - 1.5 * math.log(2))


def test_a_probability_of_nought_has_a_floor():
    sure = {0: 0.0, 1: -math.inf}
    assert token_confidence(sure, 2) == -FLOOR / 2
    assert token_self_certainty(sure, 2) == approx(-FLOOR / 2 - math.log(2))
    assert token_entropy(sure, 2) == 0.0


@given(p=st.floats(0.02, 0.97), more=st.floats(0.001, 0.02))
def test_the_more_peaked_the_more_confident(p, more):
    def peak(p, read):
        return read({0: math.log(p), **{i: math.log((1 - p) / 99) for i in range(1, 100)}}, 100)

    for read in (token_confidence, token_self_certainty, lambda *a: -token_entropy(*a)):
        assert (peak(p + more, read) > peak(p, read)) == (p + more / 2 > 0.01)


@given(top=distributions)
def test_over_the_whole_vocabulary_they_are_what_the_papers_define(top):
    p = np.exp(list(top.values()))
    even = np.full(len(p), 1 / len(p))
    assert token_self_certainty(top, len(p)) == approx(entropy(even, p), abs=1e-9)  # KL
    assert token_entropy(top, len(p)) == approx(entropy(p), abs=1e-9)


@given(top=distributions, k=st.integers(2, 10), scale=st.floats(-3, 0))
def test_renormalised_only_the_shape_counts(top, k, scale):
    fainter = {token: value + scale for token, value in top.items()}
    for read in (token_self_certainty, token_entropy):
        assert read(fainter, k) == approx(read(top, k), abs=1e-9)


def test_pieces_tell_of_each_of_their_tokens():
    assert list(token_confidences(Chunk("x", top_logprobs=({0: -2.0}, {0: -3.0})), 1)) == [2, 3]
    assert list(token_confidences(Chunk("x"), 1)) == []
