"""What comes after the answer, agreement, and numbers of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.thoughts import DOUBTING, STEPS, chain, node, thought
from tts.analysis import (
    Reader,
    agreement,
    concluded,
    portrait,
    redundancy,
    seen,
    thinking_tokens,
    tokens_between,
)
from tts.types import Segment
from tts.watching import Thinking


def test_what_comes_after_the_first_conclusion_is_redundant():
    found = chain(DOUBTING)
    behind = len("\n\nWait 47+19=66")
    assert concluded(found) == seen(found) == found.end - behind
    assert redundancy(found) == pytest.approx(behind / found.end)


def test_an_answer_may_be_written_before_it_is_concluded():
    found = chain(thought("There are 66 of 100.", "40+26=66"))
    assert seen(found) == len("There are 66")
    assert concluded(found) == found.end and redundancy(found) == 0


@pytest.mark.parametrize("answer", [None, "7"])
def test_what_never_comes_to_its_answer_has_no_redundancy(answer):
    found = chain(DOUBTING, answer)
    assert seen(found) is None and concluded(found) is None and redundancy(found) is None


def test_agreement_counts_pairs_of_conclusions():
    found = chain(thought("it is 3", "hm", "it is 3.0", "it is 4", "it is 4"))
    assert agreement(found) == pytest.approx(2 / 3)
    assert agreement(chain(thought("it is 3"))) is None


@given(STEPS, STEPS, st.sampled_from(["66", "12", "7"]))
def test_redundancy_rises_with_what_is_appended(steps, more, answer):
    before = redundancy(chain(thought(*steps), answer))
    after = redundancy(chain(thought(*steps, *more), answer))
    if before is not None:
        assert 0 <= before <= after < 1


@given(STEPS, st.sampled_from([None, "66", "12"]))
def test_every_share_is_a_share(steps, answer):
    found = portrait(node(thought(*steps)), answer, Reader())
    shares = (found.first_seen, found.first_concluded, found.redundant, found.agreement)
    assert all(0 <= share <= 1 for share in (*shares, found.failed) if share is not None)
    assert found.reflections <= found.steps
    if found.redundant is not None:
        assert found.redundant + found.first_concluded == pytest.approx(1)
        assert found.first_seen <= found.first_concluded


def test_tokens_are_those_that_were_kept():
    whole = node(
        Segment("<think>ab", tokens=(1, 2, 3)), Segment("cd</think>3", logprobs=(-1.0,) * 6)
    )
    assert tokens_between(whole, 0, len(whole.text)) == pytest.approx(9)
    assert thinking_tokens(whole, Thinking()) == pytest.approx(3 * 2 / 9 + 6 * 2 / 11)


def test_pieces_that_do_not_tell_are_estimated():
    mixed = node(Segment("abcd", tokens=(1, 2)), Segment("efgh", origin="injected"))
    assert tokens_between(mixed, 0, 8) == pytest.approx(4)
    assert tokens_between(mixed, 0, 8, rate=1.0) == pytest.approx(6)
    assert tokens_between(node("abcd"), 0, 4) is None
    assert tokens_between(node("abcd"), 1, 3, rate=0.5) == pytest.approx(1)
