"""Loops: found where they close, none missed and none imagined, against every period by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trimming.play import Play
from tts.errors import ConfigError
from tts.trimming import loops as room
from tts.trimming.loops import FORCED, Loops
from tts.watching import Close

CUTS = st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple)
SMALL = st.builds(
    Loops,
    shortest=st.integers(2, 7),
    longest=st.integers(7, 30),
    repeats=st.integers(2, 4),
)


def first_end(watcher, text):
    """Where the first loop closes, by trying every end and every period; None for nowhere."""
    for end in range(1, len(text) + 1):
        for period in range(watcher.shortest, watcher.longest + 1):
            copy = text[max(0, end - period) : end]
            if len(copy) == period and text[:end].endswith(copy * watcher.repeats):
                return end
    return None


@st.composite
def looping(draw):
    """A text with a passage several times in a row, a copy of it before, and a rest."""
    words = st.text("ab", max_size=12)
    head, copy, rest = draw(words), draw(st.text("abc", min_size=1, max_size=12)), draw(words)
    return head + copy + draw(words) + copy * draw(st.integers(1, 5)) + rest


@given(SMALL, looping() | st.text("ab", max_size=80), CUTS)
@settings(max_examples=300, deadline=None)
def test_a_loop_is_found_just_where_it_closes(watcher, text, cuts):
    end = first_end(watcher, text)
    assert [each.at for each in Play(watcher, (text,), cuts=cuts).actions] == (
        [] if end is None else [end]
    )


@given(SMALL, looping())
@settings(max_examples=100, deadline=None)
def test_equal_hashes_of_other_texts_make_no_loop(watcher, text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_PRIME", 3)
        close = Play(watcher, (text,), cuts=(4,)).close
    assert (close and close.at) == first_end(watcher, text)


def test_a_loop_is_closed_at_the_end_of_its_last_repetition_by_force():
    sentence = "Let me go through this once more, slowly. "
    text = "We begin.\n" + sentence * 7
    close = Play(Loops(), (text,), cuts=(3,)).close
    assert close == Close(10 + 3 * 42, "\n\n" + FORCED, "3 times the same 42 characters")


def test_a_sentence_that_comes_back_later_is_no_loop():
    sentence = "The polynomial is x^4 - 10 x^2 + 1, of degree four. "
    text = "".join(f"{sentence}Its value at {x} is {x**4 - 10 * x**2 + 1}. " for x in range(30))
    assert Play(Loops(), (text,), cuts=(5,)).actions == []


def test_a_passage_in_which_a_sentence_comes_twice_loops_all_the_same():
    passage = "Let me check that again. It is five. Let me check that again. It is six. "
    close = Play(Loops(), (passage * 4,), cuts=(2,)).close
    assert close.at == 3 * len(passage)


def test_memory_stays_within_the_longest_period():
    watcher = Loops(shortest=10, longest=50, repeats=2)
    text = "".join(f"{number} and " for number in range(2000))
    play = Play(watcher, (text,), cuts=(7,))
    assert not play.actions
    assert len(play.state.tail) == 100
    assert sum(map(len, play.state.blocks.values())) <= 21
    assert len(play.state.due) <= 5


@pytest.mark.parametrize(
    "field", [{"shortest": 1}, {"longest": 39}, {"repeats": 1}], ids=lambda each: next(iter(each))
)
def test_what_cannot_be_a_loop_is_refused_by_name(field):
    with pytest.raises(ConfigError, match=f"loops.{next(iter(field))} is"):
        Loops(**field)
