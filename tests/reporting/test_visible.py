"""No character acts, and no text is without end."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.reporting.visible import cut, shown, visible

ANY = st.text(st.characters())


@given(ANY)
def test_no_character_that_acts_is_left(text):
    for sign in visible(text):
        assert sign in "\n\t" or unicodedata.category(sign) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(sign) not in ("RLO", "LRO", "RLE", "LRE", "RLI", "PDF")
    visible(text).encode("utf-8")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31mred\x00", "␛[31mred␀"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("\ud800", "⟨U+D800⟩"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("größe 数 مرحبا 😀", "größe 数 مرحبا 😀"),
    ],
)
def test_what_acts_is_shown_as_what_it_is(text, seen):
    assert visible(text) == shown(text) == seen


@given(ANY, st.integers(2, 60))
def test_a_cut_text_keeps_its_ends_and_says_what_is_missing(text, most):
    found = cut(text, most)
    if len(text) <= most:
        assert found == text
    else:
        assert found.startswith(text[: most * 3 // 4]) and f"{len(text) - most:,} " in found
        assert len(found) < most + 50


def test_a_line_of_a_megabyte_is_cut():
    assert len(cut("x" * 2**20, 4000)) < 4100
