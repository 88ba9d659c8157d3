"""ConCISE: no reflection stays, nor a step after the model is sure, wherever the text is cut."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trimming.play import THINKING, Play
from tts.errors import ConfigError
from tts.trimming.concise import PHRASES, PROBE, ConCISE
from tts.watching import Ask, Close, Insert, Piece, Setting

CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=6).map(tuple)
SETTING = Setting(THINKING, "How many?", 1000)


def unsure(question):
    return "No"


def test_a_reflection_gives_way_to_a_phrase():
    texts = ("So it is 4.\n\nWait, is it?\n\nYes.", " Then 4 + 1 = 5.\n\nDone.")
    play = Play(ConCISE(), texts, unsure)
    assert play.actions == [Insert(13, PHRASES[0], "a reflection")]
    assert play.text == "So it is 4.\n\n" + PHRASES[0] + " Then 4 + 1 = 5.\n\nDone."


def test_phrases_are_taken_in_turn():
    texts = tuple(f" Step {i}.\n\nHmm, no." for i in range(6))
    play = Play(ConCISE(phrases=("A.", "B.", "C.")), texts, unsure)
    assert [each.text for each in play.actions] == ["A.", "B.", "C.", "A.", "B.", "C."]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_model_that_insists_is_let(most):
    again = "\n\nWait, no."
    texts = ("So it is 4." + again,) + (again,) * (most - 1) + (again + "\n\nOh.\n\nHmm, why?",)
    play = Play(ConCISE(phrases=("Sure.",), in_a_row=most), (*texts, " End."), unsure)
    # Once it has had its way the next reflection is the first in a row again.
    assert len(play.actions) == most + 1
    assert play.text.endswith("Sure.\n\nWait, no.\n\nOh.\n\nSure. End.")


@pytest.mark.parametrize(
    "text",
    ["Wait, let me see.\n\nIt is 4.", "So.\n\nWaiting takes 4 minutes.", "So. Wait, no.", "Hmm"],
)
def test_what_reflects_on_nothing_stays(text):
    assert not Play(ConCISE(), (text,), unsure).actions


def test_the_chain_stops_where_a_reflection_may_begin_and_goes_on_slowly_until_it_is_clear():
    watcher, state = ConCISE(), ConCISE().begin(SETTING)
    assert {"\n\nWait", "\n\nHmm", "\\boxed"} <= set(watcher.pause(state).stop)
    assert not watcher.pause(state).watch
    state, decision = watcher.read(state, Piece("So it is 4.\n\nWait", 8, "pause"))
    assert decision is None and watcher.pause(state).watch
    _, decision = watcher.read(state, Piece(", no", 2))
    assert decision.at == 13
    state, decision = watcher.read(state, Piece("ing is", 2))
    assert decision is None and not watcher.pause(state).watch


def test_a_sure_model_is_closed_after_the_step_with_the_answer():
    text = "One.\n\nSo The Answer is 4, or so.\n\nLet me go on.\n\nAnd on."
    sure = {34: ("No", 0.9), 49: (" Yes", 0.51)}
    play = Play(ConCISE(), (text,), lambda question: sure[question.at])
    assert play.actions == [Close(49, reason="sure at 0.51")]
    assert play.text == text[:49]
    first = play.questions[0]
    assert first.text == PROBE and first.waits and first.logprobs == 0 and first.max_tokens == 1
    assert [each.at for each in play.questions] == [34, 49]


@pytest.mark.parametrize(
    ("reply", "closes"),
    [(("Yes", 0.5), False), (("Yes", 0.501), True), (("No", 0.99), False), ("yes.", True)],
)
def test_only_a_confident_word_above_the_threshold_counts(reply, closes):
    play = Play(ConCISE(), ("\\boxed{4}\n\nAnd now?",), lambda question: reply)
    assert bool(play.actions) is closes


def test_nothing_is_asked_before_an_answer():
    play = Play(ConCISE(), ("One.\n\nTwo.\n\nThree \\boxed{3}.",), unsure)
    assert not play.questions
    assert Play(ConCISE(answers=("Two",)), ("One.\n\nTwo.\n\nEnd",), unsure).questions


@pytest.mark.parametrize("cuts", [(1,), (100,)])
def test_an_answer_in_a_reflection_that_gave_way_is_none(cuts):
    texts = ("So.\n\n Wait, the answer is 5.", " Go.\n\nOn.")
    play = Play(ConCISE(), texts, unsure, cuts=cuts)
    assert play.actions and not play.questions


def test_a_reflection_after_an_unsure_answer_gives_way_too():
    play = Play(ConCISE(), ("\\boxed{4}.\n\nWait, is it?", " So 4."), unsure)
    assert [each.at for each in play.questions] == [12]
    assert play.actions == [Insert(12, PHRASES[0], "a reflection")]


def test_a_question_that_gets_no_reply_is_unsure_when_the_chain_goes_on():
    watcher = ConCISE()
    state, asked = watcher.read(watcher.begin(SETTING), Piece("\\boxed{4}\n\nSo", 5, "pause"))
    state, decision = watcher.read(state, Piece("[hint]", 2, injected=True))
    assert isinstance(asked, Ask) and decision is None
    state, decision = watcher.read(state, Piece(" on.\n\nWait, no", 5))
    assert [each.at for each in decision.questions] == [len("\\boxed{4}\n\nSo[hint] on.\n\n")]
    state, decision = watcher.read(state, Piece(".", 1))
    assert decision == Insert(25, PHRASES[0], "a reflection")


FRAGMENTS = (
    "Wait", "Wait,", "But wait", "Hmm.", "Waiting", "\n\n", "\n\n", "\n", " ", "So 5. ",
    "the ans", "the answer is", "\\boxed", "wer is", "x",
)  # fmt: skip
TEXTS = st.lists(
    st.lists(st.sampled_from(FRAGMENTS), max_size=15).map("".join), min_size=1, max_size=5
).map(tuple)


@given(TEXTS, CUTS, st.integers(1, 3))
@settings(max_examples=300, deadline=None)
def test_cuts_change_nothing(texts, cuts, most):
    def whim(question):
        return "Yes" if zlib.crc32(str(question.at).encode()) % 4 == 0 else "No"

    watcher = ConCISE(in_a_row=most, phrases=("Sure.", "So the answer is near.\n\nWell."))
    whole, pieces = Play(watcher, texts, whim), Play(watcher, texts, whim, cuts=cuts)
    assert pieces.actions == whole.actions
    assert pieces.text == whole.text
    assert [q.at for q in pieces.questions] == [q.at for q in whole.questions]


@pytest.mark.parametrize(
    "field",
    [
        {"phrases": ()}, {"phrases": ("",)}, {"answers": ()}, {"confident": ()}, {"probe": ""},
        {"in_a_row": 0}, {"threshold": 1.5},
    ],
    ids=str,
)  # fmt: skip
def test_a_setting_that_cannot_be_is_refused_by_name(field):
    with pytest.raises(ConfigError, match=rf"concise\.{next(iter(field))} is"):
        ConCISE(**field)


def test_a_model_without_steps_is_refused():
    with pytest.raises(ConfigError, match=r"ConCISE.*thinking\.step"):
        ConCISE().begin(Setting(type(THINKING)(step=""), "How many?", 100))
