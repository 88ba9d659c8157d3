"""Votes by length, hedges and connectives: by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from tests.selectors.pool import NONE, candidate, weigh
from tts.errors import ConfigError
from tts.selectors import Fluent, Majority


def test_votes_by_hand():
    pool = [
        candidate("1", "Therefore it is one."),
        candidate("2", "Maybe, wait, it is perhaps two, or so."),
        candidate(None, "no"),
    ]
    # The first has fewer words (4 to 8), fewer hedges (0 to 3), more connectives (1/4 to 1/8).
    assert weigh(Fluent(), pool) == approx([1.0, 0.5, NONE])


def test_who_ties_shares_the_ranks_and_votes_add_up():
    pool = [candidate("1", "one"), candidate("1", "two"), candidate("2", "maybe so it is")]
    # Shorter: 2.5, 2.5, 1; hedges 0, 0, 1/4: 2.5, 2.5, 1; connectives 0, 0, 1/4: 1.5, 1.5, 3.
    vote = (2.5 + 2.5 + 1.5) / 9
    assert weigh(Fluent(), pool) == approx([2 * vote, 2 * vote, 5 / 9])


def test_hedges_of_several_words_count_and_parts_of_words_do_not():
    pool = [candidate("1", "i am NOT sure of this"), candidate("2", "i wander on sofas of his")]
    found = weigh(Fluent(hedges=("not sure",), connectives=("so",)), pool)
    assert found == approx([(1.5 + 1 + 1.5) / 6, (1.5 + 2 + 1.5) / 6])


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9))
def test_among_equal_texts_it_is_the_majority(answers):
    pool = [candidate(a, "it is so") for a in answers]
    n = len(pool)
    votes = [w * (n + 1) / (2 * n) for w in weigh(Majority(), pool)]
    assert weigh(Fluent(), pool) == approx(votes)


@pytest.mark.parametrize("field", ["hedges", "connectives"])
@pytest.mark.parametrize("words", [(), ("",), ("maybe", "...")])
def test_words_are_wanted(field, words):
    with pytest.raises(ConfigError, match=f"selector.{field}"):
        Fluent(**{field: words})
