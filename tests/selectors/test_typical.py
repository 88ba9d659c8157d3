"""The most typical candidate: by hand, and regardless of order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from tests.selectors.pool import NONE, candidate, weigh
from tts.selectors import Typical


def test_who_is_most_like_the_others_weighs_most():
    pool = [candidate("1", "a b c d"), candidate("2", "a b c e"), candidate("3", "x y")]
    # The first two share three words of five; the third shares none.
    assert weigh(Typical(), pool) == approx([1.6 / 3, 1.6 / 3, 1 / 3])


def test_texts_without_an_answer_have_no_say():
    pool = [candidate("1", "a b"), candidate(None, "x y"), candidate("2", "x y")]
    assert weigh(Typical(), pool) == [0.5, NONE, 0.5]
    assert weigh(Typical(), []) == []
    assert weigh(Typical(), [candidate(None, "a")]) == [NONE]


@given(st.lists(st.text("ab c", max_size=8), min_size=1, max_size=8))
def test_weights_are_shares_and_copies_of_one_text_weigh_one(texts):
    weights = weigh(Typical(), [candidate("1", text) for text in texts])
    assert all(1 / len(texts) - 1e-12 <= w <= 1 + 1e-12 for w in weights)
    assert weigh(Typical(), [candidate("1", texts[0])] * 4) == [1.0] * 4
