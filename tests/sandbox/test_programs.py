"""Python programs pass or do not, whatever they try."""

from __future__ import annotations

import pytest

from tests.sandbox.walls import PATIENT, needs_sandbox
from tts.errors import SandboxError
from tts.sandbox import Limits, Sandbox
from tts.sandbox.programs import output, passes

pytestmark = needs_sandbox

PASS = {
    "all is well": "assert 1 + 1 == 2",
    "a file of its own": "open('a', 'w').write('x'); assert open('a').read() == 'x'",
    "an empty folder": "import os; assert os.listdir() == []",
    "classes": "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\nA(1)",
    "libraries": "import re, math, itertools, collections, typing, heapq, hashlib, random",
    "much output": "print('x' * 10**7)",
    "threads": "import threading; t = threading.Thread(target=print); t.start(); t.join()",
    "commands": "import subprocess; subprocess.run(['true'], check=True)",
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
    "too long a text": "#" * (2 << 20),
}


@pytest.mark.parametrize("name", PASS)
async def test_good_programs_pass(name):
    assert await passes([PASS[name]], Sandbox(PATIENT))


@pytest.mark.parametrize("name", FAIL)
async def test_bad_programs_fail_in_time(name):
    assert not await passes([FAIL[name], "pass"], Sandbox(Limits(seconds=3)))


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
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_tight_limits_refuse(name):
    limits = Limits(seconds=60, processes=1, disk_mib=1)
    assert await passes([refused(*REFUSED[name])], Sandbox(limits))


async def test_no_source_of_ours_is_on_the_path():
    assert await passes(["import sys\nassert not any('tts' in p for p in sys.path)"],
                        Sandbox(PATIENT))  # fmt: skip


async def test_what_a_program_prints_is_heard():
    outcome = await output("print(6 * 7)", Sandbox(PATIENT))
    assert (outcome.code, outcome.stdout) == (0, b"42\n")
    assert (await output("1 / 0", Sandbox(PATIENT))).code == 1
    assert (await output("print('\ud800')", Sandbox(PATIENT))).code == 1


async def test_a_python_that_does_not_start_is_a_fault_and_no_verdict():
    with pytest.raises(SandboxError, match=r"does not start in the sandbox \(time\)"):
        await passes(["pass"], Sandbox(Limits(seconds=1e-3)))
