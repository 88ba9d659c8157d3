"""Programs are found, meet as programs, and pass their tests or do not."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sandbox.walls import needs_sandbox
from tts.errors import ConfigError, GradingError
from tts.sandbox import Limits, sandbox
from tts.tasks import CodeTask, Fields, ProgramAnswers, ProgramTests, Prompt

ANSWERS = ProgramAnswers()
FUNCTION = "def double(x):\n    return 2 * x"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (f"Here:\n```python\n{FUNCTION}\n```\nDone.", FUNCTION),
        (f"```py\nx = 1\n```\nbetter\n```\n{FUNCTION}\n```", FUNCTION),
        (f"  ```python\n  {FUNCTION}\n  ```".replace("\n    r", "\n      r"), FUNCTION),
        ("```python\nx = 1\n", None),
        ("```python\nx = 1\n```\nthen\n```python\nx = ", "x = 1"),
        (FUNCTION, FUNCTION),
        ("    return 2 * x\n", "    return 2 * x"),
        ("    y = x\n\n    return y\n\ndef other():\n    pass", "    y = x\n\n    return y"),
        ("    return (2 *", None),
        ("The function doubles x.", None),
        ("Yes", None),
        ("", None),
    ],
)
def test_extraction(text, program):
    assert ANSWERS.extract(text) == program


@given(st.text("`python\n def():xreturn12=\t#", max_size=80))
def test_any_text_has_a_program_or_none(text):
    program = ANSWERS.extract(text)
    assert program is None or program.strip()


@given(st.text("abc\n =1", max_size=30).filter(str.strip))
def test_what_goes_into_a_block_comes_out(code):
    found = ANSWERS.extract(f"First\n```python\nold()\n```\nThen {ANSWERS.landing}{code}\n```\n")
    assert (found or "").split() == code.split()


def test_extraction_takes_linear_time():
    for piece in ("```", "```\n", "```python\n", " x\n", "(", "-"):
        started = time.perf_counter()
        ANSWERS.extract(piece * (100_000 // len(piece)))
        assert time.perf_counter() - started < 5, piece


async def test_programs_meet_whatever_their_spelling():
    assert await ANSWERS.equal(FUNCTION, "def double(x):  # twice\n\n  return (2*x)\n")
    assert await ANSWERS.equal("    return 2*x", "  return 2 * x")
    assert not await ANSWERS.equal(FUNCTION, FUNCTION.replace("2", "3"))
    for odd in ("(" * 5000, "-" * 19_000 + "1", "\x00", "\ud800", "x = '\\d'", "x" * 30_000):
        assert await ANSWERS.key(odd)


# --- tasks --------------------------------------------------------------------------------------

PROMPT = (
    "from typing import List\n\n\ndef total(xs: List[int]) -> int:\n"
    '    """The sum.\n    >>> total([1, 2])\n    3\n    """\n'
)
ROW = {
    "task_id": "T/0",
    "prompt": PROMPT,
    "canonical_solution": "    return sum(xs)\n",
    "entry_point": "total",
    "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n"
    "    assert candidate([]) == 0\n",
}
FIELDS = Fields("prompt", "canonical_solution", "task_id",
                reference=("prompt", "test", "entry_point"))  # fmt: skip


def humaneval(tmp_path, **arguments):
    path = tmp_path / "programs.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    return CodeTask(path, fields=FIELDS, **arguments)


def test_nothing_is_run_unless_that_was_said(tmp_path):
    for make in (lambda: humaneval(tmp_path), ProgramTests):
        with pytest.raises(ConfigError, match=r"allow_code_execution is false.*=true"):
            make()


@needs_sandbox
def test_rows_must_have_tests():
    with pytest.raises(ConfigError, match=r"reference does not name 'test'"):
        CodeTask("x.jsonl", allow_code_execution=True)


def test_without_a_sandbox_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "fault_of_machine", lambda: ("bwrap is not installed", "Do."))
    with pytest.raises(ConfigError, match=r"cannot be run safely here: bwrap is not installed. Do"):
        humaneval(tmp_path, allow_code_execution=True)


@needs_sandbox
async def test_a_sandbox_that_does_not_work_is_a_fault_and_no_verdict(tmp_path):
    task = humaneval(tmp_path, allow_code_execution=True, limits=Limits(seconds=1e-3))
    with pytest.raises(GradingError, match=r"does not start in the sandbox \(time\)"):
        await task.grade("T/0", "    return sum(xs)\n")


@needs_sandbox
@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("    return sum(xs)\n", True),
        ("\n    return sum(xs)\n", True),
        ("```python\ndef total(xs: List[int]) -> int:\n    return sum(xs)\n```", True),
        ("```python\n    return sum(xs)\n```", True),
        ("```python\nreturn sum(xs)\n```", True),
        ("```python\ntotal = sum\n```", True),
        ("```python\nfrom __future__ import annotations\ndef total(xs):\n    return sum(xs)\n```",
         True),
        ("```python\ndef total(xs):\n    return 3\n```", False),
        ("```python\ndef totals(xs):\n    return sum(xs)\n```", False),
        ("    return sum(xs) + 1\n", False),
    ],
)  # fmt: skip
async def test_functions_are_graded_by_their_tests(tmp_path, text, right):
    task = humaneval(tmp_path, allow_code_execution=True, limits=Limits(seconds=20))
    assert await task.grade("T/0", task.answers.extract(text)) == right
    assert not await task.grade("T/0", None)
    assert "assert" not in repr(task.problems[0])


@needs_sandbox
async def test_lists_of_tests_without_an_entry_point(tmp_path):
    path = tmp_path / "m.jsonl"
    row = {
        "text": "Double it.",
        "code": "",
        "test": ["assert double(2) == 4", "assert double(0) == 0"],
    }
    path.write_text(json.dumps({**row, "code": FUNCTION}) + "\n")
    task = CodeTask(path, fields=Fields("text", "code", reference=["test"]), prompt=Prompt(),
                    allow_code_execution=True)  # fmt: skip
    assert await task.grade("m-0", FUNCTION)
    assert not await task.grade("m-0", FUNCTION.replace("2", "3"))
