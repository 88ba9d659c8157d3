"""Programs are found, meet as programs, and pass their tests or do not, whatever they try."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.errors import ConfigError, GradingError
from tts.tasks import CodeTask, Fields, Limits, ProgramAnswers, ProgramTests, Prompt, _sandbox
from tts.tasks._sandbox import run

ANSWERS = ProgramAnswers()
FAST = Limits(seconds=2)
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


# --- what a program can do ----------------------------------------------------------------------

PASS = {
    "all is well": "assert 1 + 1 == 2",
    "a file of its own": "open('a', 'w').write('x'); assert open('a').read() == 'x'",
    "classes": "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\nA(1)",
    "libraries": "import re, math, itertools, collections, typing, heapq, hashlib, random",
    "much output": "print('x' * 10**6)",
}
FAIL = {
    "the right output before a failure": "print('passed'); assert False",
    "an end before the tests": "import sys; sys.exit(0)",
    "a hard end before the tests": "import os; os._exit(0)",
    "another program instead": "import os; os.execv('/bin/true', ['true'])",
    "a loop": "while True: pass",
    "a loop that minds nothing": "while True:\n    try:\n        while True: pass\n"
    "    except BaseException: pass",
    "a sleep": "import time; time.sleep(1000)",
    "no program": "def (",
    "a question": "input()",
    "endless recursion": "def f(): f()\nf()",
    "a crash": "import ctypes; ctypes.string_at(0)",
}


@pytest.mark.parametrize("name", PASS)
async def test_good_programs_pass(name):
    assert await run([PASS[name]], Limits(seconds=20))


@pytest.mark.parametrize("name", FAIL)
async def test_bad_programs_fail_in_time(name):
    assert not await run([FAIL[name], "pass"], FAST)


def refused(statement, error):
    """A program that passes only if a statement of it is refused."""
    return f"try:\n    {statement}\nexcept {error}:\n    pass\nelse:\n    raise SystemExit"


REFUSED = {
    "memory": ("x = bytearray(4 << 30)", "MemoryError"),
    "files that are too large": ("open('a', 'wb').write(bytes(2 << 20))", "OSError"),
    "further processes": ("import os; os.fork()", "OSError"),
    "commands": ("import subprocess; subprocess.run(['true'])", "OSError"),
    "threads": ("import threading; threading.Thread(target=print).start()", "RuntimeError"),
    "the network": ("import socket; socket.socket()", "PermissionError"),
    "signals to others": ("import os; os.kill(os.getppid(), 9)", "PermissionError"),
}
ANYWHERE = {"memory", "files that are too large"}


@pytest.fixture(scope="session")
async def kernel_refuses():
    """What is refused by other means than limits depends on the kernel."""
    outside = f"open({str(Path(__file__).with_suffix('.never'))!r}, 'w')"
    return all([
        await run([refused(outside, "PermissionError")], Limits()),
        await run([refused("import os; os.fork()", "OSError")], Limits()),
    ])  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_what_programs_may_not_do(name, kernel_refuses):
    if name not in ANYWHERE and not kernel_refuses:
        pytest.skip("this kernel has no Landlock or seccomp")
    assert await run([refused(*REFUSED[name])], Limits(seconds=20))


async def test_nothing_outside_is_written_or_removed(tmp_path, kernel_refuses):
    if not kernel_refuses:
        pytest.skip("this kernel has no Landlock")
    kept = tmp_path / "kept"
    kept.write_text("x")
    for statement in (f"open({str(tmp_path / 'new')!r}, 'w')", f"open({str(kept)!r}, 'a')",
                      f"import os; os.remove({str(kept)!r})",
                      f"import os; os.mkdir({str(tmp_path / 'folder')!r})",
                      f"import os; os.truncate({str(kept)!r}, 0)",
                      f"import os; os.rename({str(kept)!r}, 'mine')"):  # fmt: skip
        assert await run([refused(statement, "OSError")], Limits(seconds=20)), statement
    assert [path.name for path in tmp_path.iterdir()] == ["kept"] and kept.read_text() == "x"


async def test_no_secret_is_inherited(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert await run(["import os\nassert 'secret' not in os.environ.values()"], Limits())
    assert await run(["import sys\nassert not any('tts' in p for p in sys.path)"], Limits())


def processes():
    return {entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()}


async def test_nothing_is_left_of_a_cancelled_program(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    task = asyncio.create_task(run(["while True: pass"], Limits(seconds=60)))
    await asyncio.sleep(1)
    assert list(tmp_path.glob("tts-cell-*"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(tmp_path.iterdir())
    cells = [p for p in processes() if b"_cell.py" in _command(p)]
    assert not [p for p in cells if _parent(p) == str(os.getpid())]


def _command(process):
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _parent(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]
    except OSError:
        return ""


async def test_a_cell_that_does_not_work_is_a_fault(monkeypatch, tmp_path):
    broken = tmp_path / "cell.py"
    broken.write_text("raise SystemExit(1)")
    monkeypatch.setattr(_sandbox, "_CELL", broken)
    with pytest.raises(GradingError, match="does not work"):
        await run(["pass"], FAST)


@pytest.mark.parametrize("limits", [{"seconds": 0}, {"memory_mib": 1}])
def test_bad_limits(limits):
    with pytest.raises(ConfigError, match=f"limits.{next(iter(limits))} is"):
        Limits(**limits)


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
    with pytest.raises(ConfigError, match=r"reference does not name 'test'"):
        CodeTask("x.jsonl", allow_code_execution=True)


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
