"""Uncertainty of a set of samples: by hand, and by what must hold for any set."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from tts.signals.dispersion import (
    degree_uncertainty,
    degrees,
    eccentricities,
    eigenvalue_uncertainty,
    semantic_entropy,
    similarities,
)

PAIRS = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
texts = st.lists(st.text("ab cd", max_size=12), min_size=1, max_size=8)


def test_semantic_entropy_by_hand():
    assert semantic_entropy(["4", "4", "5", None]) == approx(
        2 / 3 * math.log(3 / 2) + 1 / 3 * math.log(3)
    )
    assert semantic_entropy(["4", "4", "5"], [0.25, 0.25, 0.5]) == approx(math.log(2))
    assert semantic_entropy(["4", "4"]) == semantic_entropy([None]) == semantic_entropy([]) == 0.0


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=20))
def test_semantic_entropy_lies_between_agreement_and_the_number_of_answers(keys):
    different = {key for key in keys if key}
    assert 0 <= semantic_entropy(keys) <= math.log(max(1, len(different))) + 1e-12


def test_similarities_by_hand():
    found = similarities(["The cat sat.", "the dog sat", "", "?!"])
    assert found[0] == [1.0, 2 / 4, 0.0, 0.0]
    assert found[2] == [0.0, 0.0, 1.0, 1.0]


@given(texts)
def test_similarities_are_symmetric_and_each_text_is_like_itself(texts):
    found = np.array(similarities(texts))
    assert (found == found.T).all() and (np.diag(found) == 1).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_two_pairs_by_hand():
    assert degrees(PAIRS) == [0.5] * 4
    assert degree_uncertainty(PAIRS) == approx(0.5)
    assert eigenvalue_uncertainty(PAIRS) == approx(2.0)  # two meanings
    # In the space of two clusters all stand at a distance of 1/2 from the centre.
    assert eccentricities(PAIRS) == approx([0.5] * 4)


def test_a_graded_pair_by_hand():
    # Similarity s: the Laplacian's eigenvalues are 0 and 2s/(1+s).
    for s in (0.2, 0.5, 0.8):
        matrix = [[1, s], [s, 1]]
        assert eigenvalue_uncertainty(matrix) == approx(1 + max(0, 1 - 2 * s / (1 + s)))
        assert degree_uncertainty(matrix) == approx((1 - s) / 2)


@pytest.mark.parametrize("sizes", [(1,), (3,), (1, 1, 1), (4, 2, 1)])
def test_groups_that_share_nothing_are_counted(sizes):
    groups = np.repeat(range(len(sizes)), sizes)
    matrix = (groups[:, None] == groups[None, :]).astype(float)
    assert eigenvalue_uncertainty(matrix) == approx(len(sizes))
    n = sum(sizes)
    assert degree_uncertainty(matrix) == approx(1 - sum(s * s for s in sizes) / n**2)


def test_who_stands_alone_is_eccentric():
    matrix = similarities(["a b c d e f g h", "a b c d e f g i", "a b c d e f g j", "x y z"])
    found = eccentricities(matrix)
    assert max(found[:3]) < found[3]
    assert min(degrees(matrix)[:3]) > degrees(matrix)[3]


@given(texts)
def test_agreement_is_the_least_uncertain(texts):
    matrix = similarities(texts)
    n = len(texts)
    assert 1 - 1e-9 <= eigenvalue_uncertainty(matrix) <= n + 1e-9
    assert -1e-12 <= degree_uncertainty(matrix) <= 1 - 1 / n + 1e-12
    assert eigenvalue_uncertainty([[1.0] * n] * n) == approx(1.0)
    assert eccentricities([[1.0] * n] * n) == approx([0.0] * n, abs=1e-7)
