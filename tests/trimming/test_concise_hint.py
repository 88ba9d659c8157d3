"""ConciseHint: the published schedule, played beside a plain loop that does the same."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trimming.play import THINKING, Play
from tts.errors import ConfigError
from tts.trimming.concise_hint import ConciseHint, about
from tts.watching import Insert, Piece, Setting

CUTS = st.lists(st.integers(1, 200), min_size=1, max_size=6).map(tuple)
QUESTION = "How many are left if half of them go?"
SETTING = Setting(THINKING, QUESTION, 100_000)


def published(watcher, written):
    """The loop as published, over a model that writes a character a token: (text, rests)."""
    used, text, length = 0, "", math.ceil(len(QUESTION) / 4) * (watcher.counts == "all")
    interval, rests = watcher.alpha, [written]
    while True:
        chunk = written[used : used + interval]
        used += len(chunk)
        if len(chunk) < interval:
            return text + chunk, tuple(rests)
        length += len(chunk)
        start = int(min(max(interval - watcher.alpha, 0) / 1024, 0.8) * len(chunk))
        found = re.compile(r"\. |, ").search(chunk, start)
        if found:
            chunk = chunk[: found.end()] + watcher.hint + chunk[found.end() :]
            rests.append(written[used:])
            length += len(watcher.hint) * (watcher.counts == "all")
        text += chunk
        interval = min(watcher.longest, math.floor(watcher.alpha + watcher.beta * length))


WATCHERS = st.builds(
    ConciseHint,
    hint=st.sampled_from(["[short!] ", "Be brief. "]),
    alpha=st.integers(8, 300),
    beta=st.sampled_from([0.0, 0.2, 0.5, 2.0]),
    longest=st.integers(300, 2000),
    counts=st.sampled_from(["model", "all"]),
)
WRITTEN = st.lists(
    st.sampled_from(["so it goes on ", "then, ", "yes. ", "3.5", "\n\n", "x" * 150]), max_size=300
).map("".join)


@given(WATCHERS, WRITTEN, CUTS)
@settings(max_examples=200, deadline=None)
def test_hints_come_as_published_wherever_the_text_is_cut(watcher, written, cuts):
    text, rests = published(watcher, written)
    play = Play(watcher, rests, cuts=cuts, setting=SETTING)
    assert play.text == text
    assert len(play.actions) == len(rests) - 1


def test_the_schedule_by_hand():
    """128; 128 + 0.2 * 128 = 153; 128 + 0.2 * 281 = 184; and so on, up to 1024 and not more."""
    watcher, intervals = ConciseHint(), []
    state = watcher.begin(SETTING)
    for _ in range(40):
        intervals.append(watcher.pause(state).tokens)
        state, decision = watcher.read(state, Piece("x" * 10, intervals[-1], "pause"))
        assert decision is None  # no punctuation: skipped in silence
    assert intervals[:4] == [128, 153, 184, 221]
    assert intervals[-5:] == [1024] * 5


@pytest.mark.parametrize(
    ("interval", "text", "at"),
    [
        (128, "a. " + "b" * 7, 3),
        (128, "3.5, b" + "c" * 4, 5),
        (640, "a. bbb, c. d", 8),  # half of 1,024 later: from half of the chunk on
        (1024, "a. b, c. ddd, ef", 14),  # 0.875, which is too much: from 0.8 on
        (1024, "a, bcdefghij", None),
    ],
)
def test_the_place_moves_back_as_chunks_grow(interval, text, at):
    watcher = ConciseHint(beta=1.0)
    state = watcher.begin(SETTING)
    if interval > 128:
        state, _ = watcher.read(state, Piece("x", 128, "pause"))
        rest = interval - 256
        state = state if rest <= 0 else type(state)(1, length=interval - 128)
    start = state.start
    state, decision = watcher.read(state, Piece(text, interval, "pause"))
    assert decision == (at and Insert(start + at, watcher.hint + text[at:], decision.reason))


def test_a_chunk_that_is_the_last_one_gets_no_hint():
    watcher = ConciseHint()
    state = watcher.begin(SETTING)
    assert watcher.read(state, Piece("So. It is, 5.", 128, "end"))[1] is None
    assert watcher.read(state, Piece("So. It is, 5.", 127, "pause"))[1] is None
    assert watcher.read(state, Piece("So. It is, 5.", 128, None))[1] is not None


@pytest.mark.parametrize(("counts", "interval"), [("model", 153), ("all", 157)])
def test_what_others_insert_is_not_the_models(counts, interval):
    watcher = ConciseHint(counts=counts)
    state = watcher.begin(Setting(THINKING, "", 1000))
    state, _ = watcher.read(state, Piece("y" * 9, 100, "pause"))
    assert watcher.pause(state).tokens == 28
    state, decision = watcher.read(state, Piece("Wait", 20, injected=True))
    assert decision is None and watcher.pause(state).tokens == 28
    state, _ = watcher.read(state, Piece("z", 28, "pause"))
    assert watcher.pause(state).tokens == interval
    assert state.start == len("y" * 9 + "Wait" + "z")


@pytest.mark.parametrize(
    ("hint", "tokens"),
    [("Be concise.", 3), ("a b c d e f g", 7), ("简洁一点", 4), ("x" * 41, 11), ("", 0)],
)
def test_tokens_of_a_hint_are_estimated_by_words_and_characters(hint, tokens):
    assert about(hint) == tokens


def test_a_hint_longer_than_the_interval_is_refused():
    long = "Please be brief from here on. " * 10
    with pytest.raises(ConfigError, match=r"concise_hint\.hint has about 75 tokens") as refused:
        ConciseHint(hint=long, alpha=74)
    assert "alpha" in refused.value.hint
    assert ConciseHint(hint=long, alpha=75)


@pytest.mark.parametrize(
    "field",
    [{"alpha": 0}, {"beta": -0.1}, {"longest": 127}, {"counts": "words"}, {"hint": " "}],
    ids=lambda field: next(iter(field)),
)
def test_a_setting_that_cannot_be_is_refused_by_name(field):
    with pytest.raises(ConfigError, match=rf"concise_hint\.{next(iter(field))} is"):
        ConciseHint(**field)
