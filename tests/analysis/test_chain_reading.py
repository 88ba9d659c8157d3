"""Steps, reflections, and what a step concludes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analysis.thoughts import CHANGED, DOUBTING, chain, thought
from tts.analysis import Extracted, Reader, canonical
from tts.analysis.conclusions import LastValue, left_over, places, sums
from tts.tasks import MathAnswers
from tts.watching import Thinking


def test_a_chain_falls_into_its_steps():
    found = chain(DOUBTING)
    assert [step.kind for step in found.steps] == ["plain", "plain", "recheck", "plain", "recheck"]
    assert [step.value for step in found.steps] == [None, None, None, "66", "66"]
    assert [step.marker for step in found.steps] == ["", "", "Wait", "", "Wait"]
    assert found.steps[2].text == "48-29=19 => 47+19"
    assert found.reflections == 2 and found.answer == "66"
    for step in found.steps:
        assert found.text[step.start : step.end].endswith(step.text)
        assert DOUBTING[found.start + step.start :].startswith(
            step.marker + " " * bool(step.marker)
        )


def test_another_way_is_a_change_of_mind():
    assert [step.kind for step in chain(CHANGED).steps] == ["plain", "plain", "change", "plain"]


@pytest.mark.parametrize(
    ("said", "kind", "marker"),
    [
        ("Wait, 3", "recheck", "Wait"),
        ("wait a moment", "recheck", "Wait"),
        ("But wait, 3", "recheck", "But wait"),
        ("Waiting for 3", "plain", ""),
        ("I wait", "plain", ""),
        ("Alternatively, 3", "change", "Alternatively"),
        ("Another way: 3", "change", "Another way"),
    ],
)
def test_words_of_reflection_begin_a_step(said, kind, marker):
    (step,) = chain(thought(said)).steps
    assert (step.kind, step.marker) == (kind, marker)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("<think>a\n\n</think>b", "a\n\n"),
        ("\n<think>a</think>b</think>", "a"),
        ("a</think>b", "a"),  # the template had opened it
        ("<think>a\n\nb", "a\n\nb"),  # it never ended
        ("a\n\n\\boxed{3}", "a\n\n\\boxed{3}"),  # no tags
        ("it is 3\n\n\\boxed{3}", "it is 3\n\n"),  # the answer is but repeated
    ],
)
def test_the_thinking_part(text, part):
    assert chain(text, "3").text == part


def test_tags_and_words_are_settings():
    reader = Reader(Thinking(start="[", end="]", step=";", reflections=("Moment",)))
    found = reader.read("[3;Moment 4;Wait 5]4", "4")
    assert [(step.kind, step.value) for step in found.steps] == [
        ("plain", "3"),
        ("recheck", "4"),
        ("plain", "5"),
    ]


@pytest.mark.parametrize(
    ("step", "value"),
    [
        ("47+19=66", "66"),
        ("6*8=48 => 47+48-29", None),
        ("48-29=", None),
        ("48-2", None),
        ("so x=3 => y = 4", "4"),
        ("The sum of 3 and 4 is 7.", "7"),
        ("it costs $1,000.50 today", "1,000.50"),
        ("\\boxed{12} or 13", "12"),
        ("the value is 1/2", "1/2"),
        ("it is -5", "-5"),
        ("from 12-7 on", "7"),
        ("no idea", None),
        ("", None),
    ],
)
def test_what_a_step_concludes(step, value):
    assert LastValue()(step) == value


def test_a_task_may_say_what_a_step_concludes():
    conclude = Extracted(MathAnswers(fallback_last_number=False))
    found = Reader(conclude=conclude).read(thought("47+19=66", "The answer is 66."), "66")
    assert [step.value for step in found.steps] == [None, "66"]


@pytest.mark.parametrize(
    ("one", "other"), [("66", "66.0"), ("$1,000", "1000"), ("1/2", "0.5"), ("Yes.", "yes")]
)
def test_equal_values_meet(one, other):
    assert canonical(one) == canonical(other)


def test_division_by_zero_is_a_spelling():
    assert canonical("1/0") == "1/0"


def test_sums_and_what_is_left():
    assert sums("6 * 8 = 48 => 47+48-29") == (("6*8", "48"),)
    assert left_over("6*8=48 => 47+48-29") == "47+48-29"
    assert left_over("47+19=66") is None and left_over("48-29=") == ""


def test_a_value_is_found_as_a_whole():
    assert places("66", "166, 66.5, 660, 66 and 66.0") == [18, 27]
    assert places("yes", "eyes say Yes") == [12]


@given(st.text(alphabet="0123456789+-*/=> .,\\boxed{}Wait\n<think>", max_size=80))
def test_any_text_can_be_read(text):
    found = chain(text)
    assert all(a.end <= b.start for a, b in zip(found.steps, found.steps[1:], strict=False))
    assert found.end <= len(found.text) <= len(text)
