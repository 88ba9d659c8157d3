"""Files of requests: what is read, what is refused, and what is left out by number."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.errors import ConfigError, GradingError
from tts.tasks import ExactAnswers, Prompt, RequestsTask
from tts.tasks.task import fingerprint
from tts.types import Message, Problem

GOOD = b'{"id": "good", "prompt": "1+1="}'


@pytest.fixture
def read(tmp_path):
    """Makes a task of lines: rows, texts or bytes."""

    def task(*lines, end=b"\n", **how):
        path = tmp_path / "in.jsonl"
        path.write_bytes(b"".join(_bytes(line) + end for line in lines))
        return RequestsTask(path, **how)

    return task


def _bytes(line):
    if isinstance(line, bytes):
        return line
    return (line if isinstance(line, str) else json.dumps(line)).encode()


def request(name, **fields):
    return {"id": name, "prompt": f"What is {name}?", **fields}


def openai(name, messages=None, url="/v1/chat/completions", **body):
    messages = messages or [{"role": "user", "content": f"What is {name}?"}]
    body = {"model": "m", "messages": messages, **body}
    return {"custom_id": name, "method": "POST", "url": url, "body": body}


def only(task):
    (item,) = task
    return item


# --- what is read --------------------------------------------------------------------------------


def test_a_prompt_is_asked_as_one_turn(read):
    item = only(read(request("a", answer=4, metadata={"source": "here"}), max_tokens=7))
    assert item.problem.messages == (Message("user", "What is a?"),)
    assert item.problem.metadata == {"source": "here"}
    assert (item.problem.id, item.gold, item.accepted) == ("a", "4", ())


@pytest.mark.parametrize(
    ("answer", "gold", "accepted"),
    [
        ("x", "x", ()), (4, "4", ()), (4.0, "4", ()), (0.5, "0.5", ()), (["a", "b"], "a", ("b",)),
        (None, None, ()), ("  ", None, ()), ([], None, ()), (" 7 ", "7", ()),
    ],
)  # fmt: skip
def test_known_answers(read, answer, gold, accepted):
    item = only(read(request("a", answer=answer)))
    assert (item.gold, item.accepted) == (gold, accepted)


def test_a_conversation_is_asked_as_it_is(read):
    turns = [("system", "Be brief."), ("user", "1?"), ("assistant", "2."), ("user", "3?")]
    messages = [{"role": role, "content": text} for role, text in turns]
    for line in ({"id": "a", "messages": messages}, openai("a", messages)):
        assert only(read(line)).problem.messages == tuple(Message(*turn) for turn in turns)


def test_the_settings_of_openai_requests_are_named_and_not_read(read):
    task = read(openai("a", temperature=0.5), openai("b", max_tokens=3), openai("c", stream=True))
    assert [item.problem.id for item in task] == ["a", "b", "c"]
    assert task.settings == ("max_tokens", "model", "temperature")


def test_the_template_sees_all_fields_but_the_answer(read):
    seen = Prompt("{{ tone }}: {{ question }}{{ answer is defined }}")
    item = only(read(request("a", tone="politely", answer=3), prompt=seen))
    assert item.problem.messages[-1].content == "politely: What is a?False"
    blind = Prompt("{{ question }} {{ answer }}")
    with pytest.raises(ConfigError, match="holds no request"):
        read(request("a", answer=3), prompt=blind)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b"\n \t\r\n"])
def test_ends_of_lines_and_blank_lines(read, end):
    task = read(*(request(str(i)) for i in range(3)), end=end)
    assert [item.problem.id for item in task] == ["0", "1", "2"]
    assert not task.broken


def test_the_last_line_needs_no_end_and_a_byte_order_mark_is_no_text(read):
    task = read(b"\xef\xbb\xbf" + _bytes(request("a")), _bytes(request("b")), end=b"\n")
    task = read(task._file.read_bytes().rstrip(), end=b"")
    assert [item.problem.id for item in task] == ["a", "b"]
    assert not task.broken


def test_ids_may_be_numbers_and_any_text(read):
    names = [7, "x/y", "[red]", "Ω\u2028🙂", " ", "a\nb", "7 ", "\x1b[2J"]
    task = read(*({"id": name, "prompt": "?"} for name in names))
    assert [item.problem.id for item in task] == ["7", *names[1:]]


def test_a_line_of_a_megabyte(read):
    text = "long 🙂 " * 120_000
    task = read(request("a"), {"id": "b", "prompt": text}, request("c"))
    assert [len(item.problem.messages[0].content) for item in task] == [10, len(text), 10]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip))
@settings(deadline=None, max_examples=100)
def test_any_text_is_asked_as_it_stands(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("requests") / "in.jsonl"
    for escaped in (True, False):
        path.write_text(
            json.dumps({"id": text, "prompt": text}, ensure_ascii=escaped) + "\n", "utf-8"
        )
        item = only(RequestsTask(path))
        assert item.problem.id == item.problem.messages[0].content == text


async def test_grades_are_read_from_the_file(read):
    task = read(request("a", answer=["four", "4"]), request("b"), answers=ExactAnswers())
    assert await task.grade("a", "4")
    assert not await task.grade("a", "5")
    assert not await task.grade("a", None)
    with pytest.raises(ConfigError, match="no right answer of 'b' is known"):
        await task.grade("b", "4")
    with pytest.raises(ConfigError, match="has no request 'c'"):
        await task.grade("c", "4")


def test_the_digest_is_of_the_requests_alone(read):
    lines = [request("a"), request("b")]
    one = read(*lines).digest
    assert one == read(*lines, end=b"\n\n").digest
    assert one != read(*lines[::-1]).digest != read(*lines, request("c")).digest


# --- what changes while it is read ---------------------------------------------------------------


def test_lines_that_are_added_meanwhile_wait_for_the_next_sitting(read):
    task = read(request("a"))
    with task._file.open("ab") as file:
        file.write(_bytes(request("b")) + b"\n")
    assert [item.problem.id for item in task] == ["a"] and len(task) == 1
    assert len(RequestsTask(task._file)) == 2


async def test_a_file_that_was_changed_grades_nothing(read):
    task = read(request("a", answer=1), request("b", answer=2))
    lines = task._file.read_bytes().splitlines(keepends=True)
    task._file.write_bytes(b"".join(reversed(lines)))
    with pytest.raises(GradingError, match="has changed: 'a' is not where it was"):
        await task.grade("a", "1")
    task._file.write_bytes(b"gone")
    with pytest.raises(GradingError, match="has changed"):
        await task.grade("b", "2")
    task._file.unlink()
    with pytest.raises(GradingError, match="There is no file"):
        await task.grade("b", "2")


# --- lines that cannot be used -------------------------------------------------------------------

USER = {"role": "user", "content": "?"}
BROKEN = [
    ('{"id": "a", "prompt": "?"', "it is no JSON"),
    ("no json", "it is no JSON"),
    (b'{"id": "\xff", "prompt": "?"}', "it is no UTF-8"),
    ("[1, 2]", "it holds a list, not an object"),
    ("null", "it holds a NoneType"),
    (r'{"id": "a", "prompt": "\ud800"}', "half a character"),
    (r'{"id": "\uDC00", "prompt": "?"}', "half a character"),
    (b'{"id": "a", "prompt": "\xed\xa0\x80"}', "half a character"),
    ("[" * 200_000, "it cannot be read"),
    ('{"id": %s, "prompt": "?"}' % ("7" * 5000), "it cannot be read"),
    ({"prompt": "?"}, "it has no id"),
    ({"id": "", "prompt": "?"}, "it has no id"),
    ({"id": None, "prompt": "?"}, "it has no id"),
    ({"id": True, "prompt": "?"}, "it has no id"),
    ({"id": 1.5, "prompt": "?"}, "it has no id"),
    ({"id": ["a"], "prompt": "?"}, "it has no id"),
    ({"id": "a"}, "neither a 'prompt' (a text) nor 'messages'"),
    ({"id": "a", "prompt": " \n"}, "neither a 'prompt'"),
    ({"id": "a", "prompt": 3}, "neither a 'prompt'"),
    ({"id": "a", "prompt": "?", "messages": [USER]}, "both 'prompt' and 'messages'"),
    ({"id": "a", "messages": []}, "'messages' must be a list of turns"),
    ({"id": "a", "messages": "?"}, "'messages' must be a list of turns"),
    ({"id": "a", "messages": [{"role": "user"}]}, "each turn of 'messages'"),
    ({"id": "a", "messages": [{"role": "tool", "content": "?"}]}, "each turn of 'messages'"),
    ({"id": "a", "messages": [{"role": "user", "content": [{"type": "text"}]}]}, "each turn"),
    ({"id": "a", "messages": [USER, {"role": "assistant", "content": "!"}]}, "ends with the assi"),
    ({"id": "a", "prompt": "?", "answer": {"is": 1}}, "'answer' must be a text or a number"),
    ({"id": "a", "prompt": "?", "answer": [True]}, "'answer' must be a text or a number"),
    ({"id": "a", "prompt": "?", "metadata": "x"}, "'metadata' must be an object"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "why"), BROKEN, ids=lambda v: str(v)[:40])
def test_a_line_that_cannot_be_used_is_named_and_the_others_go_on(read, line, why):
    task = read(GOOD, "", line, {"id": "last", "prompt": "?"})
    assert [item.problem.id for item in task] == ["good", "last"]
    (broken,) = task.broken
    assert broken.number == 3 and why in broken.why and len(broken.why) < 200


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (openai("b", url="/v1/embeddings"), "its url is '/v1/embeddings'"),
        (openai("b", url="/" * 5000), "its url is '///"),
        ({"custom_id": "b", "url": "/v1/chat/completions", "body": {}}, "holds no 'messages'"),
        ({"custom_id": "b", "url": "/v1/chat/completions"}, "holds no 'messages'"),
        (openai(None), "it has no id"),
    ],
)
def test_an_openai_line_that_cannot_be_used(read, line, why):
    task = read(openai("a"), line)
    assert [item.problem.id for item in task] == ["a"]
    (broken,) = task.broken
    assert broken.number == 2 and why in broken.why and len(broken.why) < 200


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=200)
def test_no_line_whatever_ends_in_anything_but_a_word_on_it(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("requests") / "in.jsonl"
    path.write_bytes(GOOD + b"\n" + noise + b"\n" + GOOD.replace(b"good", b"last") + b"\n")
    task = RequestsTask(path)
    assert [item.problem.id for item in task] == ["good", "last"]
    blank = sum(not line.strip() for line in noise.split(b"\n"))
    assert len(task.broken) == noise.count(b"\n") + 1 - blank


# --- files that cannot be used -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), "holds no request"),
        ((b"", b" "), "holds no request"),
        ((b"x", b"y"), r"holds no request. The first cannot be used: line 1: it is no JSON"),
        ((request("a"), b"x", request("a")), "lines 1 and 3 have the same id, 'a'"),
        ((request("1"), {"id": 1, "prompt": "?"}), "lines 1 and 2 have the same id, '1'"),
        ((request("x" * 5000), request("x" * 5000)), r"have the same id, 'xxx.{,40}\."),
        ((request("a"), openai("b")), r"mixes OpenAI Batch lines \(first: 2\)"),
        ((openai("a"), request("b")), r"with plain ones \(first: 2\)"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_as_a_whole(read, lines, words):
    with pytest.raises(ConfigError, match=words):
        read(*lines)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="There is no file"):
        RequestsTask(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        RequestsTask(tmp_path)


def test_a_cap_that_leaves_nothing(read):
    with pytest.raises(ConfigError, match=r"task.max_tokens is 0; it must be at least 1"):
        read(GOOD, max_tokens=0)


words = st.text(st.characters(exclude_categories=["Cs"]))


roles = st.sampled_from(["system", "user", "assistant"])


@given(words, st.lists(st.tuples(roles, words), min_size=1), st.booleans())
def test_a_fingerprint_is_that_of_what_is_asked_as_json(prompt, turns, plain):
    prompt, turns = (prompt or "?", []) if plain else ("", turns)
    asked = Problem("any", prompt, messages=tuple(Message(*turn) for turn in turns))
    text = json.dumps([prompt, [list(turn) for turn in turns]])
    assert fingerprint(asked) == hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
