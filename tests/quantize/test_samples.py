"""Calibration data: read, kept apart from the evaluation, and turned into tokens."""

from __future__ import annotations

import json

import pytest

from tts.engine.models import BUNDLED
from tts.engine.text import Text, tokenizer_identity
from tts.errors import ConfigError
from tts.quantize.samples import FEWEST, Samples, of_file, of_task, sequences
from tts.tasks import MiniTask
from tts.types import Message, Problem, Segment, Trajectory


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        file = tmp_path / "data.jsonl"
        file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
        return file

    return write


def _prompts(count):
    return [{"prompt": f"{number}+1="} for number in range(count)]


def test_lines_are_texts_conversations_or_prompts(write):
    turns = [{"role": "user", "content": "1+1="}, {"role": "assistant", "content": "2"}]
    rows = [{"text": "a"}, {"messages": turns}, {"messages": turns[:1]}, *_prompts(FEWEST)]
    found = of_file(write(*rows, ""), 99, ())
    assert found.whole == ("a", (Message("user", "1+1="), Message("assistant", "2")))
    asked = [problem.messages[-1].content for problem in found.problems]
    assert asked == ["1+1=", *(f"{n}+1=" for n in range(FEWEST))]
    assert len({problem.id for problem in found.problems}) == FEWEST + 1
    assert (len(found), found.left_out, found.source) == (FEWEST + 3, 0, "data.jsonl")


def test_no_more_are_taken_than_are_wanted(write):
    rows = [*({"text": str(n)} for n in range(9)), *_prompts(5)]
    found = of_file(write(*rows), 8, ())
    assert (len(found.problems), len(found.whole)) == (5, 3)


def test_what_the_evaluation_asks_is_left_out(write):
    turns = [{"role": "user", "content": "7+1="}, {"role": "assistant", "content": "8"}]
    rows = [{"messages": turns}, *_prompts(FEWEST + 2)]
    asked = [Problem.chat("x", "7+1="), Problem.chat("y", "0+1=")]
    found = of_file(write(*rows), 99, asked)
    assert (len(found), found.left_out) == (FEWEST, 3)
    assert not found.whole


def test_the_parts_of_a_task_share_nothing():
    train = MiniTask(split="train", n_problems=60)
    test = [item.problem for item in MiniTask(n_problems=600)]
    found = of_task(train, 48, test, "mini (train)")
    assert (len(found), found.left_out, found.source) == (48, 0, "mini (train)")
    with pytest.raises(ConfigError, match="mini has 0 samples, and 60 more that the evaluation"):
        of_task(MiniTask(n_problems=60), 48, test, "mini")


def test_the_digest_is_of_what_is_read():
    one, two = Problem.chat("a", "1+1="), Problem.chat("b", "1+1=")
    assert Samples("x", (one,)).digest == Samples("y", (two,)).digest
    assert Samples("x", (one,)).digest != Samples("x", (), ("1+1=",)).digest


@pytest.mark.parametrize(
    "line", ["no json", "3", '{"other": 1}', '{"messages": []}', '{"messages": [{"role": "user"}]}']
)
def test_a_line_that_cannot_be_used_is_named(write, line):
    with pytest.raises(ConfigError, match="line 2 cannot be used"):
        of_file(write({"text": "a"}, line), 99, ())


def test_too_little_is_refused(write, tmp_path):
    with pytest.raises(ConfigError, match=f"has 3 samples; at least {FEWEST} are needed"):
        of_file(write(*_prompts(3)), 99, ())
    with pytest.raises(ConfigError, match="cannot be read"):
        of_file(tmp_path / "none.jsonl", 99, ())


def test_the_model_reads_what_it_will_read_later():
    path = BUNDLED / "mini-reasoner"
    text = Text(path, "mini-reasoner", tokenizer_identity(path))
    problem = Problem.chat("p", "1+2=")
    answer = Trajectory.root().extend(Segment("1+2=3"), child=0, clock=5)
    turns = (Message("user", "1+2="), Message("assistant", "1+2=3"))
    samples = Samples("x", (problem,), ("<bos><|user|>1+2=<|assistant|>1+2=3", turns))
    answered, given, talked = sequences(samples, [(problem, answer)], text, 99)
    assert answered == given
    assert talked[:-1] == answered  # the template closes a finished turn
    assert talked[-1] == text.token_id("<eos>")
    assert sequences(samples, [(problem, answer)], text, 3) == [answered[:3]] * 3
