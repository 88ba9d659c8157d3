"""Multiple choice: options keep their places from run to run, and letters are read with care."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.errors import ConfigError
from tts.tasks import ChoiceAnswers, Choices, DatasetTask, Fields, Prompt, Row

ANSWERS = ChoiceAnswers()
COLUMNS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        (r"So \boxed{C}.", "C"),
        (r"\boxed{B} no, \boxed{\text{(D)}}", "D"),
        (r"\boxed{c}", "C"),
        (r"\boxed{C) the mitochondrion}", "C"),
        (r"\boxed{\text{B. Two}}", "B"),
        (r"Answer is B. \boxed{Both}", None),
        (r"The answer is B, as \boxed{", None),
        (r"\boxed{E}", None),
        ("The answer is (C)", "C"),
        ("The correct answer is option D because the others fail", "D"),
        ("**Answer:** B", "B"),
        ("answer: a car is not an option", None),
        ("The answer is A because of x", "A"),
        ("First I thought the answer is B. No: the answer is (D).", "D"),
        ("So it is **C**.", "C"),
        ("It must be (B).", "B"),
        ("Options A and B fail, which leaves C.", "C"),
        ("A car would be too fast. I see.", None),
        ("I like option C and", None),
        ("Compare A and B", None),
        ("C", "C"),
        ("(b)", "B"),
        (" D. ", "D"),
        ("E", None),
        ("", None),
        ("DNA and RNA.", None),
        ("Vitamin C's role.", None),
    ],
)
def test_extraction(text, letter):
    assert ANSWERS.extract(text) == letter


@given(st.text("ABCDEabcd boxedanswer is:(){}\\*.\n", max_size=60))
def test_any_text_has_a_letter_or_none(text):
    assert ANSWERS.extract(text) in (None, *"ABCD")


@given(st.sampled_from("ABCD"), st.text("ABCD xyz.", max_size=20))
def test_what_is_said_last_and_clearly_wins(letter, before):
    assert ANSWERS.extract(f"{before}\nThe answer is ({letter}).") == letter
    assert ANSWERS.extract(f"{before} {ANSWERS.landing}{letter}}}") == letter


async def test_letters_meet():
    assert await ANSWERS.key("(c)") == await ANSWERS.key("C") == "C"
    assert await ANSWERS.equal("c", "C") and not await ANSWERS.equal("B", "C")
    with pytest.raises(ConfigError, match="letters is 'a'"):
        ChoiceAnswers(letters="a")


def row(**fields):
    return Row(0, "row 0", fields)


options = st.lists(st.text("abcxyz", min_size=1, max_size=3), min_size=2, max_size=8, unique=True)


@given(options, st.data(), st.text(max_size=5))
def test_the_letter_is_that_of_the_right_option(texts, data, id):
    right = data.draw(st.integers(0, len(texts) - 1))
    for answer in (right, texts[right]):
        shown, letter = Choices().arrange(row(choices=texts, answer=answer), "answer", id)
        assert dict(shown)[letter] == texts[right]
        assert sorted(text for _, text in shown) == sorted(texts)
        assert "".join(letter for letter, _ in shown) == "ABCDEFGH"[: len(texts)]
        again, _ = Choices().arrange(row(choices=texts, answer=answer), "answer", id)
        assert again == shown
    kept, letter = Choices(shuffle=False).arrange(row(choices=texts, answer=right), "answer", id)
    assert [text for _, text in kept] == texts and letter == "ABCDEFGH"[right]


def test_a_letter_names_the_option_at_its_place():
    choices = Choices(shuffle=False)
    assert choices.arrange(row(choices=["x", "y"], answer="b"), "answer", "p")[1] == "B"


def test_shuffled_columns_put_the_right_option_everywhere():
    fields = dict(zip(COLUMNS, "wxyz", strict=True))
    choices = Choices(COLUMNS)
    letters = Counter(choices.arrange(row(**fields), COLUMNS[0], f"p{n}")[1] for n in range(400))
    assert set(letters) == set("ABCD")
    assert min(letters.values()) > 60  # 100 each, with a standard deviation of 9


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"choices": ["x", "x"], "answer": 0}, "must be 2 to 26 different"),
        ({"choices": ["x"], "answer": 0}, "must be 2 to 26 different"),
        ({"choices": "xy", "answer": 0}, "must be 2 to 26 different"),
        ({"choices": ["x", "y"], "answer": 2}, "the answer 2 is none of the options"),
        ({"choices": ["x", "y"], "answer": "z"}, "the answer 'z' is none of the options"),
        ({"options": ["x", "y"], "answer": 0}, "row 0 has no field 'choices'"),
        ({"choices": ["x", "y"]}, "row 0 has no field 'answer'"),
    ],
)
def test_bad_options(fields, message):
    with pytest.raises(ConfigError, match=message):
        Choices().arrange(row(**fields), "answer", "p")


async def test_a_task_of_columns_shows_the_options_and_hides_which_is_right(tmp_path):
    path = tmp_path / "q.jsonl"
    rows = [
        {"Question": f"Which, {n}?", **dict(zip(COLUMNS, ("gold", "x", "y", "z"), strict=True))}
        for n in range(20)
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    fields = Fields("Question", COLUMNS[0], choices=Choices(COLUMNS))
    prompt = Prompt("{{ question }}{% for l, t in choices %}\n{{ l }}) {{ t }}{% endfor %}")
    task = DatasetTask(path, fields=fields, prompt=prompt, answers=ANSWERS)
    for item in task:
        shown = item.problem.messages[0].content.splitlines()
        assert f"{item.gold}) gold" in shown and len(shown) == 5
        assert await task.grade(item.problem.id, item.gold)
        assert not await task.grade(item.problem.id, "ABCD"["ABCD".index(item.gold) - 1])
    assert len({item.gold for item in task}) == 4
    with pytest.raises(ConfigError, match="is undefined"):
        prompt = Prompt("{{ question }}{{ Correct }}")
        DatasetTask(path, fields=fields, prompt=prompt, answers=ANSWERS)
