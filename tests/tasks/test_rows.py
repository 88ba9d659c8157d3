"""What rows may hold: conversations, several right answers, worked examples, other names."""

from __future__ import annotations

import json

import pytest

from tts.errors import ConfigError
from tts.tasks import DatasetTask, Examples, Fields, Prompt
from tts.types import Message

ROWS = [{"question": f"{i}+{i}?", "answer": f"twice {i}\n#### {2 * i}"} for i in range(5)]
FIELDS = Fields(answer_pattern="#### (.*)")


@pytest.fixture
def write(tmp_path):
    def file(*rows, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return file


def turns(problem):
    return [(message.role, message.content) for message in problem.messages]


# --- conversations ------------------------------------------------------------------------------

TALK = [
    {"role": "user", "content": "Think of a number."},
    {"role": "assistant", "content": "Done."},
    {"role": "user", "content": "Which?"},
]


def test_a_conversation_is_the_problem(write):
    path = write({"messages": TALK, "answer": "7"})
    (problem,) = DatasetTask(path, fields=Fields(messages="messages")).problems
    assert problem.messages == tuple(Message(**turn) for turn in TALK)
    prompt = Prompt(system="Be brief.", examples=Examples([{"question": "a", "answer": "b"}]))
    (problem,) = DatasetTask(path, fields=Fields(messages="messages"), prompt=prompt).problems
    assert turns(problem)[:3] == [("system", "Be brief."), ("user", "a"), ("assistant", "b")]
    assert problem.messages[3:] == tuple(Message(**turn) for turn in TALK)


def test_a_conversation_with_a_system_message_of_its_own(write):
    path = write({"messages": [{"role": "system", "content": "s"}, *TALK], "answer": "7"})
    examples = Examples([{"question": "a", "answer": "b"}])
    task = DatasetTask(path, fields=Fields(messages="messages"), prompt=Prompt(examples=examples))
    assert [role for role, _ in turns(task.problems[0])][:3] == ["system", "user", "assistant"]
    with pytest.raises(ConfigError, match="system message of its own"):
        DatasetTask(path, fields=Fields(messages="messages"), prompt=Prompt(system="t"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (TALK[:2], "ends with the assistant, not with the user"),
        ([], "must hold a list of turns"),
        ("Hello", "must hold a list of turns"),
        (["Hello"], "a turn of 'messages' must have a role"),
        ([{"role": "bot", "content": "x"}], "a turn of 'messages' must have a role"),
        ([{"role": "user", "content": None}], "a turn of 'messages' must have a role"),
    ],
)
def test_what_is_no_conversation(write, value, message):
    with pytest.raises(ConfigError, match=message):
        DatasetTask(write({"messages": value, "answer": "1"}), fields=Fields(messages="messages"))


def test_a_conversation_is_not_continued_as_text(write):
    path = write({"messages": TALK, "answer": "7"})
    with pytest.raises(ConfigError, match="cannot continue as text"):
        DatasetTask(path, fields=Fields(messages="messages"), prompt=Prompt(chat=False))


# --- answers and names --------------------------------------------------------------------------


async def test_each_of_several_answers_is_right(write):
    task = DatasetTask(write({"question": "?", "answer": ["1/2", "50%", 0.5]}))
    assert (task.items[0].gold, task.items[0].accepted) == ("1/2", ("50%", "0.5"))
    assert [await task.grade("rows-0", text) for text in ("0.5", "50", "5")] == [True, True, False]
    other = DatasetTask(write({"question": "?", "answer": ["1/2"]}))
    assert task.digest != other.digest


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ({"problem": "?", "answer": "1"},
         "Did you mean 'problem'? Set task.fields.question=problem."),
        ({"Question": "?", "answer": "1"}, "Set task.fields.question=Question."),
        ({"question": "?", "solution": "1"}, "Set task.fields.answer=solution."),
        ({"question": "?", "Target": "1"}, "Set task.fields.answer=Target."),
        ({"question": "?", "x": "1"}, "There is none."),
    ],
)  # fmt: skip
def test_common_names_of_fields_are_suggested(write, row, hint):
    with pytest.raises(ConfigError) as raised:
        DatasetTask(write(row))
    assert raised.value.hint.endswith(hint) or hint == "There is none."
    assert ", ".join(row) in raised.value.message


def test_what_only_graders_see(write):
    path = write({"question": "?", "answer": "1", "test": "SECRET"})
    fields = Fields(reference=("test",))
    (item,) = DatasetTask(path, fields=fields)
    assert item.reference == {"test": "SECRET"}
    assert "SECRET" not in repr(item.problem)
    with pytest.raises(ConfigError, match="'test' is undefined"):
        DatasetTask(path, fields=fields, prompt=Prompt("{{ test }}"))
    assert DatasetTask(path).digest != DatasetTask(path, fields=fields).digest


def test_no_more_rows_are_read_than_asked_for(write):
    path = write(*ROWS)
    with path.open("a") as file:
        file.write("no JSON\n")
    assert len(DatasetTask(path, n_problems=4, offset=1)) == 4
    with pytest.raises(ConfigError, match="line 6 is no JSON"):
        DatasetTask(path)


# --- worked examples ----------------------------------------------------------------------------


def test_examples_come_as_earlier_turns(write):
    examples = Examples([{"question": "a?", "answer": "A"}], count=2, path=str(write(*ROWS)))
    prompt = Prompt("Q: {{ question }}", system="s", examples=examples)
    task = DatasetTask(write({"question": "9+9?", "answer": "#### 18"}, name="test.jsonl"),
                       fields=FIELDS, prompt=prompt)  # fmt: skip
    assert turns(task.problems[0]) == [
        ("system", "s"), ("user", "Q: a?"), ("assistant", "A"),
        ("user", "Q: 0+0?"), ("assistant", "twice 0\n#### 0"),
        ("user", "Q: 1+1?"), ("assistant", "twice 1\n#### 2"), ("user", "Q: 9+9?"),
    ]  # fmt: skip


def test_examples_come_as_text_before_the_question(write):
    examples = Examples(count=2, answer="{{ gold }}", separator="\n--\n")
    prompt = Prompt("Q: {{ question }}\nA: ", chat=False, examples=examples)
    task = DatasetTask(write(*ROWS), fields=FIELDS, prompt=prompt, offset=2, n_problems=1)
    assert task.problems[0].prompt == "Q: 0+0?\nA: 0\n--\nQ: 1+1?\nA: 2\n--\nQ: 2+2?\nA: "


def test_a_problem_is_never_among_its_own_examples(write):
    with pytest.raises(ConfigError, match=r"line 1 is among the examples.*task.offset"):
        DatasetTask(write(*ROWS), prompt=Prompt(examples=Examples(count=1)))


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ({"count": -1}, "prompt.examples.count is -1"),
        ({"count": 9}, "prompt.examples.count is 9, but .* has 5 rows"),
        ({"pairs": [{"question": "?"}]}, "pairs, number 1 has no field 'answer'"),
        ({"count": 1, "answer": "{{ worked }}"}, "'worked' is undefined. It may use: answer, gold"),
        ({"count": 1, "answer": "{% if %}"}, "prompt.examples.answer cannot be used"),
        ({"pairs": [{"question": "?", "answer": "1"}]}, "'level' is undefined"),
    ],
)
def test_bad_examples(write, examples, message):
    template = "{{ question }}{{ level }}" if message.startswith("'level") else "{{ question }}"
    with pytest.raises(ConfigError, match=message):
        prompt = Prompt(template, examples=Examples(**examples))
        DatasetTask(write(*ROWS), fields=FIELDS, prompt=prompt, offset=3)
