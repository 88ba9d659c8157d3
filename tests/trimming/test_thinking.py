"""The reader of thinking parts: tags are found however the text is cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tts._thinking import Place, overlap
from tts.watching import Thinking

FORMATS = (
    Thinking(),
    Thinking(start=""),
    Thinking(start="", end=""),
    Thinking(start="[", end="]]"),
)
TEXTS = st.text(alphabet="ab<>/thinkTHINK[]\n ", max_size=40)


def read(pieces, thinking):
    """Everything that is given out, and the last place."""
    place, given_out = Place.at_start(thinking), ""
    for piece in pieces:
        text, place = place.after(piece, thinking)
        given_out += text
    return given_out, place


def expected(text, thinking):
    """What stands between the tags."""
    bare = text.lstrip() if thinking.start else text
    if not bare.startswith(thinking.start):
        return None
    rest = bare[len(thinking.start) :]
    return rest.partition(thinking.end)[0] if thinking.end else rest


@given(TEXTS, st.sampled_from(FORMATS), st.lists(st.integers(0, 60), max_size=8), st.booleans())
def test_the_thinking_part_does_not_depend_on_the_cuts(inside, thinking, cuts, closed):
    text = thinking.start + inside + (thinking.end + "answer" if closed else "")
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    given_out, place = read(pieces, thinking)
    assert given_out + ("" if place.phase == "over" else place.held) == expected(text, thinking)
    assert place.read == len(given_out)
    if thinking.end and closed:
        assert place.phase == "over"
    assert text[place.begun : place.begun + place.read] == given_out


def test_an_answer_without_the_opening_tag_has_no_thinking_part():
    given_out, place = read(["The answer ", "is <think> 7"], Thinking())
    assert (given_out, place.phase) == ("", "over")


def test_space_before_the_opening_tag_is_no_text():
    given_out, place = read([" \n<thi", "nk>so"], Thinking())
    assert (given_out, place.phase, place.begun) == ("so", "thinking", 9)


@given(TEXTS, st.text(alphabet="<>/think", max_size=8))
def test_the_overlap_is_the_longest(text, marker):
    n = overlap(text, marker)
    assert text.endswith(marker[:n])
    for longer in range(n + 1, len(marker)):
        assert not (longer <= len(text) and text.endswith(marker[:longer]))
