"""TrimR: hand-worked sequences of answers, a slow judge, and chains cut anywhere."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trimming.play import THINKING, Play
from tts.errors import ConfigError
from tts.trimming.loops import FORCED
from tts.trimming.trimr import SETTLED, TrimR
from tts.types import Segment
from tts.watching import Close, Piece, Reply, Setting

CUTS = st.lists(st.integers(1, 40), min_size=1, max_size=6).map(tuple)
DELAYS = st.lists(st.integers(0, 30), min_size=1, max_size=6).map(tuple)
NEVER = TrimR(segments=1000, share=1.0)


def judge(question):
    """An excerpt has an answer if it says so; two are the same if they end alike."""
    asked = question.messages[-1].content
    if question.name == "answer":
        return "Yes" if "The answer is" in asked.partition("Does it")[0] else "No"
    first, _, second = asked.partition("Second excerpt:")
    name = first.partition("First excerpt:")[2].split("The answer is ")[1][0]
    return "Yes" if f"The answer is {name}" in second else "No"


def chain(answers):
    """Segments with these answers (`-` for none), and the places where they end."""
    text, ends = "So we begin.", []
    for number, answer in enumerate(answers):
        if number:
            text += "Wait, let me look again."
        text += f" I work on it. The answer is {answer}." if answer != "-" else " I work on it."
        text += "\n\n"
        ends.append(len(text))
    return text + "Hmm, one more look.", ends


def closes(watcher, answers, **options):
    """After which segment (from 1) it closes, with which text; None if it does not."""
    text, ends = chain(answers)
    play = Play(watcher, (text,), judge, **options)
    return play.close and (ends.index(play.close.at) + 1, play.close.text)


@pytest.mark.parametrize(
    ("answers", "end"),
    [
        ("AAA", 3),
        ("AABAA", None),
        ("AABAAA", 6),
        ("ABABAB", None),
        ("ABBB", 4),
        ("A-A-A", 5),
        ("--A-AB-BB", 9),
        ("AA", None),
        ("-----", None),
    ],
)
def test_three_answers_that_agree_end_overthinking(answers, end):
    assert closes(NEVER, answers) == (end and (end, SETTLED))


@pytest.mark.parametrize(("agree", "end"), [(1, 2), (2, 5), (3, 9), (4, None)])
def test_any_other_answer_starts_the_count_anew(agree, end):
    watcher = replace(NEVER, agree=agree)
    assert closes(watcher, "AABBBAAAA") == (end and (end, SETTLED))


@pytest.mark.parametrize(
    ("answers", "agree", "end"),
    [
        ("----", 2, (4, FORCED)),
        ("ABABAB", 2, (4, FORCED)),
        ("AA-BB", 2, (4, FORCED)),
        # The third answer that agrees comes with the fourth segment: it has converged.
        ("A-AA", 2, (4, SETTLED)),
        # It agreed once, so it is not underthinking, whatever comes later.
        ("AAABCBCB", 4, None),
        ("---AAA", 4, (4, FORCED)),
    ],
)
def test_a_long_chain_is_closed_by_force_unless_its_answers_agreed(answers, agree, end):
    assert closes(TrimR(segments=4, share=1.0, agree=agree), answers) == end


def test_a_chain_is_long_at_its_share_of_the_tokens_too():
    _, ends = chain("-" * 10)
    for tokens in (ends[2] - 1, ends[2], ends[2] + 1):
        setting = Setting(THINKING, "How many?", 2 * tokens)
        end = 3 if tokens <= ends[2] else 4
        assert closes(TrimR(), "-" * 10, setting=setting) == (end, FORCED)


def expected(watcher, answers):
    """The rules once more, over answers alone."""
    before, row, best = None, 0, 0
    for number, answer in enumerate(answers, 1):
        if answer != "-":
            row = row + 1 if answer == before else 0
            best, before = max(best, row), answer
        if row >= watcher.agree:
            return number, SETTLED
        if number >= watcher.segments and best < 2:
            return number, FORCED
    return None


WATCHERS = st.builds(
    TrimR, agree=st.integers(1, 4), share=st.just(1.0), segments=st.integers(1, 12)
)


@given(WATCHERS, st.text("AB-", min_size=1, max_size=14), CUTS, DELAYS)
@settings(max_examples=200, deadline=None)
def test_it_closes_where_the_rules_say_however_slow_the_judge(watcher, answers, cuts, delays):
    assert closes(watcher, answers, cuts=cuts, delays=delays) == expected(watcher, answers)


FRAGMENTS = (
    "Wait", "Wait,", "But wait", "Hmm.", "Waiting", "\n\n", "\n\n", "\n", " ", "So 5. ",
    "The answer is A.", "x", "é",
)  # fmt: skip


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join), CUTS, DELAYS)
@settings(max_examples=200, deadline=None)
def test_cuts_and_delays_change_nothing(text, cuts, delays):
    def whim(question):
        return "Yes" if zlib.crc32(repr(question.messages[-1]).encode()) % 3 else "No"

    watcher, setting = TrimR(segments=6, sentences=2), Setting(THINKING, "How many?", 150)
    whole = Play(watcher, (text,), whim, setting=setting)
    pieces = Play(watcher, (text,), whim, cuts=cuts, delays=delays, setting=setting)
    assert pieces.counted == whole.counted


def test_the_judge_reads_the_last_sentences_and_the_question():
    text = "One. Two! Three is 3.5 long?\nFour\n\nWait. The answer is B.\n\nWait, no"
    play = Play(TrimR(sentences=2), (text,), lambda question: "Yes")
    first, second, same = play.questions
    assert [each.name for each in play.questions] == ["answer", "answer", "same"]
    assert "Excerpt:\nThree is 3.5 long? Four\n\n" in first.messages[-1].content
    assert first.messages[:-1] == second.messages[:-1]
    assert "Problem:\nHow many?\n" in same.messages[-1].content
    assert (
        "First excerpt:\nThree is 3.5 long? Four\n\nSecond excerpt:\nWait. The answer is B.\n"
        in (same.messages[-1].content)
    )
    assert all(q.max_tokens == 1 and q.logprobs == 0 and not q.waits for q in play.questions)


def test_a_segment_without_sentences_is_read_from_its_end():
    play = Play(TrimR(), ("1" * 5000 + "\n\nWait, what", "\n\n"), lambda question: "No")
    (question,) = play.questions
    assert "1" * 1100 in question.messages[-1].content
    assert len(question.messages[-1].content) < 1400


def test_no_more_of_a_segment_is_kept_than_the_judge_may_read():
    play = Play(TrimR(), ("1" * 5000 + "\n\n" + "2" * 5000,), cuts=(100,))
    assert len(play.state.tail) == len(play.state.last) == 1200


@pytest.mark.parametrize(
    ("reply", "yes"),
    [
        (" Yes", True), ("yes.", True), (("Yes", 0.5), True), (("Yes", 0.49), False),
        ("No", False), ("Maybe", False), ("", False), ("Yesterday", False),
    ],
)  # fmt: skip
def test_an_unclear_reply_is_a_no(reply, yes):
    text, _ = chain("AAAA")
    assert bool(Play(NEVER, (text,), lambda question: reply).actions) is yes


def test_words_that_only_begin_like_a_reflection_do_not_count():
    text = "So.\n\nWaiting takes 5 minutes.\n\n\n  Wait, is it?\n\nSo Wait, I go on."
    (question,) = Play(TrimR(), (text,), lambda question: "No").questions
    assert text[question.at :].startswith("\n  Wait, is it?")


def test_a_question_that_gets_no_reply_is_a_no_when_a_later_one_is_replied_to():
    """As on a chain that is taken up behind its questions: no verdict waits for them for ever."""
    watcher, (text, ends) = TrimR(segments=1000, share=1.0, agree=1), chain("AAAA")
    state, asked = watcher.read(watcher.begin(Setting(THINKING, "", 1000)), Piece(text, 1))
    _, second, third, _ = asked.questions
    reply = Segment("Yes")
    state, _ = watcher.hear(state, Reply(second, reply, None))
    state, decision = watcher.hear(state, Reply(third, reply, None))
    state, decision = watcher.hear(state, Reply(decision.questions[0], reply, None))
    assert decision == Close(ends[2], SETTLED, "converged")


def test_a_comparison_that_gets_no_reply_is_a_no_likewise():
    watcher, (text, ends) = TrimR(segments=1000, share=1.0, agree=1), chain("AAAA")
    state, asked = watcher.read(watcher.begin(Setting(THINKING, "", 1000)), Piece(text, 1))
    for question in asked.questions[:3]:
        state, decision = watcher.hear(state, Reply(question, Segment("Yes"), None))
    state, decision = watcher.hear(state, Reply(decision.questions[0], Segment("No"), None))
    assert decision is None and not state.row and state.best == 0
    state, decision = watcher.hear(state, Reply(asked.questions[3], Segment("Yes"), None))
    state, decision = watcher.hear(state, Reply(decision.questions[0], Segment("Yes"), None))
    assert decision == Close(ends[3], SETTLED, "converged")


@pytest.mark.parametrize(
    ("field", "value"),
    [("agree", 0), ("segments", 0), ("sentences", 0), ("share", 0), ("share", 1.1), ("sure", 2)],
)
def test_a_setting_that_cannot_be_is_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=rf"trimr\.{field} is"):
        TrimR(**{field: value})


@pytest.mark.parametrize(("field", "value"), [("step", ""), ("reflections", ())])
def test_a_model_without_steps_or_reflections_is_refused(field, value):
    thinking = replace(THINKING, **{field: value})
    with pytest.raises(ConfigError, match=rf"thinking\.{field}"):
        TrimR().begin(Setting(thinking, "How many?", 100))
