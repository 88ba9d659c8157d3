"""Answers in words, and numbers that need only be close."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.errors import ConfigError
from tts.tasks import ExactAnswers, Item, ItemTask, NumericAnswers
from tts.types import Problem

EXACT = ExactAnswers()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>Paris</answer>", "Paris"),
        ("<answer>a</answer> or <answer>\nb c\n</answer>.", "b c"),
        ("The answer is Rome <answer>Par", None),
        ("<answer> </answer>", None),
        (r"It is \boxed{New York}.", "New York"),
        (r"The answer is x \boxed{", None),
        ("The answer is Paris.", "Paris"),
        ("The answer is St. Louis. It lies on a river.", "St. Louis"),
        ("Answer: 1.5 m\nThat is all", "1.5 m"),
        ("The answer is **Paris**", "Paris"),
        ("I do not know", None),
        ("", None),
    ],
)
def test_words_are_found(text, answer):
    assert EXACT.extract(text) == answer


@given(st.text(max_size=20).filter(lambda text: "<" not in text and text.strip()))
def test_what_goes_between_tags_comes_out(text):
    answers = ExactAnswers(landing="\n\n<answer>")
    assert answers.extract(f"Well{answers.landing}{text}</answer>") == text.strip()


async def test_what_counts_as_the_same():
    strict = ExactAnswers(ignore_case=False, ignore_punctuation=False)
    loose = ExactAnswers(ignore_spaces=True)
    cases = [("Paris", "paris", 0, 1, 1), ("St. Louis!", "st louis", 0, 1, 1),
             ("a  b", "a b", 1, 1, 1), ("ab", "a b", 0, 0, 1), ("a", "b", 0, 0, 0),
             ("Strasse", "straße", 0, 1, 1), ("?!", "?", 0, 0, 0)]  # fmt: skip
    for one, other, *expected in cases:
        found = [await kind.equal(one, other) for kind in (strict, EXACT, loose)]
        assert found == [bool(e) for e in expected], (one, other)


@given(st.text(max_size=20))
async def test_keys_are_fixed_points(text):
    key = await EXACT.key(text)
    assert await EXACT.key(key) == key


async def test_any_accepted_answer_is_right():
    item = Item(Problem("p", prompt="Where?"), "New York City", ("NYC", "New York"))
    task = ItemTask("t", [item], answers=EXACT)
    assert await task.grade("p", "nyc!") and await task.grade("p", "new york")
    assert not await task.grade("p", "York")


def test_finding_words_takes_linear_time():
    for piece in ("<answer>", "<answer></answer", "answer is ", "\\boxed{", " ", "a. "):
        started = time.perf_counter()
        EXACT.extract(piece * (100_000 // len(piece)))
        assert time.perf_counter() - started < 2, piece


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("9.81", "9.80665", True), ("9.81", "9.92", False), ("-9.81", "9.81", False),
        ("3 \\times 10^8", "299792458", True), ("3e8", "3.0E+8", True), ("1/3", "0.333", True),
        ("6.02 × 10^{23}", "6.022e23 mol", True), ("1,000 metres", "1005", True),
        ("0", "0.0001", False),
        ("0", "0", True), ("1e9999", "1", False), ("\\sqrt{8}", "2\\sqrt{2}", True),
        ("x+1", "1", False), ("", "1", False), ("50%", "0.5", True), ("1/0", "1", False),
    ],
)  # fmt: skip
async def test_close_numbers_are_right(answer, gold, right):
    assert await NumericAnswers(relative=0.01).equal(answer, gold) == right


async def test_tolerances_are_those_that_were_given():
    exact = NumericAnswers(relative=0, absolute=0)
    wide = NumericAnswers(relative=0, absolute=0.5)
    assert not await exact.equal("1.0000001", "1") and await exact.equal("1.0", "1")
    assert await wide.equal("1.5", "1") and not await wide.equal("1.51", "1")
    assert await NumericAnswers().key("1.0e3") == await NumericAnswers().key("1000") == "1000"
    for arguments in ({"relative": -1}, {"absolute": math.inf}, {"relative": math.nan}):
        with pytest.raises(ConfigError, match="must be at least 0"):
            NumericAnswers(**arguments)


numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 4))


@settings(deadline=None)
@given(numbers, numbers, st.floats(0, 0.5))
async def test_closeness_is_the_inequality(a, b, relative):
    found = await NumericAnswers(relative=relative).equal(f"{a:.4f}", f"{b:.4f}")
    error, bound = abs(a - b), relative * abs(b)
    if not math.isclose(error, bound, rel_tol=1e-9, abs_tol=1e-9):
        assert found == (error <= bound)
