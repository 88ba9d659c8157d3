"""Structures from a configuration and from requests, and answers in JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.errors import ConfigError
from tts.tasks import JsonAnswers, RequestsTask, read_structure
from tts.tasks.structures import read_response_format
from tts.tasks.task import fingerprint
from tts.types import Problem, Structure

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e15, 1e15) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def make(name, text):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return make


# --- configurations -----------------------------------------------------------------------------


def test_nothing_said_is_no_structure():
    assert read_structure() is None
    assert read_structure(choice=[]) is None


def test_each_way_of_saying_it(write):
    schema = write("schema.json", json.dumps(SCHEMA))
    grammar = write("grammar.ebnf", 'root ::= "1"')
    assert read_structure(json_schema=schema) == Structure(json_schema=SCHEMA)
    assert read_structure(regex="1+", after="=") == Structure(regex="1+", after="=")
    assert read_structure(choice=["a", "b"]) == Structure(choice=("a", "b"))
    assert read_structure(grammar=grammar) == Structure(grammar='root ::= "1"')


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"regex": "1", "choice": ["2"]}, "exactly one"),
        ({"choice": ["a", "a"]}, "differ"),
        ({"after": "="}, "nothing says what comes behind"),
        ({"json_schema": "nowhere.json"}, "there is no file nowhere.json"),
        ({"grammar": "."}, "cannot be read"),
    ],
)
def test_what_cannot_be_meant(how, why):
    with pytest.raises(ConfigError, match=why):
        read_structure(**how)


@pytest.mark.parametrize(("text", "why"), [("{", "holds no JSON"), ("[1]", "not an object")])
def test_a_file_that_is_no_schema(write, text, why):
    with pytest.raises(ConfigError, match=why):
        read_structure(json_schema=write("schema.json", text))


# --- requests -----------------------------------------------------------------------------------


def test_response_formats():
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    assert read_response_format(wanted) == Structure(json_schema=SCHEMA)
    assert read_response_format({"type": "json_object"}) == Structure(
        json_schema={"type": "object"}
    )
    assert read_response_format({"type": "text"}) is None


BROKEN = ["json", None, {}, {"type": "xml"}, {"type": "json_schema"},
          {"type": "json_schema", "json_schema": {"schema": []}}]  # fmt: skip


@pytest.mark.parametrize("said", BROKEN)
def test_response_formats_that_cannot_be_understood(said):
    with pytest.raises(ValueError, match="response_format"):
        read_response_format(said)


def test_lines_of_a_batch_have_structures_of_their_own(tmp_path):
    def line(name, **body):
        messages = [{"role": "user", "content": "same?"}]
        url = "/v1/chat/completions"
        return {"custom_id": name, "url": url, "body": {"messages": messages, **body}}

    wanted = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    rows = [line("plain"), line("held", response_format=wanted), line("odd", response_format=3)]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = RequestsTask(path)
    problems = {item.problem.id: item.problem for item in task}
    assert problems["plain"].structure is None
    assert problems["held"].structure == Structure(json_schema=SCHEMA)
    assert [broken.number for broken in task.broken] == [3]
    assert task.settings == ()
    assert task.structured
    assert task.asked("plain") != task.asked("held")


def test_the_fingerprint_of_a_plain_problem_is_what_it_was():
    assert fingerprint(Problem("a", "1+1=")) == "6eeba435e79f5e87"


# --- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "field", "answer"),
    [
        ('{"a": 1}', "", '{"a":1}'),
        (' {"b": [1, 2.0], "a": null} ', "", '{"a":null,"b":[1,2]}'),
        ('Let me see.\n```json\n{"a": 7}\n```', "a", "7"),
        ('{"a": 1} or rather {"a": 2}', "a", "2"),
        ('{"steps": [{"r": 3}, {"r": "x y"}]}', "steps.1.r", "x y"),
        ("12", "", "12"),
        ('"yes"', "", "yes"),
        ("true", "", "true"),
        ("12 apples", "", None),
        ('{"a": 1', "a", None),
        ('{"a": 1}', "b", None),
        ('{"a": null}', "a", None),
        ('{"a": [1]}', "a.1", None),
        ('{"a": NaN}', "a", None),
        ('{"a": ""}', "a", None),
        ("", "", None),
        ("[" * 5000, "", None),
        ("{" * 5000 + '{"a": 1}', "a", None),
    ],
)
def test_the_answer_in_a_text(text, field, answer):
    assert JsonAnswers(field).extract(text) == answer


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ('{"a": 1, "b": 2}', '{"b":2.0,"a":1}', True),
        ("[1, 2]", "[2, 1]", False),
        ("1e2", "100", True),
        ("-0.0", "0", True),
        ("1e400", "1e401", False),
        ("0.1", "0.10", True),
        ('"yes"', "yes", False),
        ("Paris", " Paris ", True),
        ("Paris", "paris", False),
        ("true", "1", False),
    ],
)
async def test_when_answers_are_the_same(first, second, same):
    assert await JsonAnswers().equal(first, second) is same


@given(JSON)
async def test_any_value_is_its_own_answer_however_it_is_written(value):
    answers = JsonAnswers()
    written = {json.dumps(value), json.dumps(value, indent=2, ensure_ascii=False)}
    found = {answers.extract(text) for text in written}
    assert len(found) == 1
    (answer,) = found
    if answer is not None and not isinstance(value, str):
        assert json.loads(answer) == value
        assert await answers.key(answer) == answer
