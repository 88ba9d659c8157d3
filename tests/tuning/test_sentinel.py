"""Trials that are stopped do not outlive a search that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tts.tuning.engine.sentinel
from tts.tuning.engine.trial import Sentinel

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def group():
    process = subprocess.Popen(SLEEP, start_new_session=True)
    os.killpg(process.pid, signal.SIGSTOP)
    return process


def test_it_kills_what_is_left_when_its_owner_is_gone():
    listed, left_alone = group(), group()
    command = [sys.executable, "-I", tts.tuning.engine.sentinel.__file__]
    sentinel = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    try:
        for line in (f"+{listed.pid}", f"+{left_alone.pid}", f"-{left_alone.pid}"):
            print(line, file=sentinel.stdin, flush=True)
        sentinel.stdin.close()  # as the death of its owner would
        assert sentinel.wait(20) == 0
        assert listed.wait(10) == -signal.SIGKILL
        time.sleep(0.2)
        assert left_alone.poll() is None
    finally:
        for process in (listed, left_alone):
            process.kill()
            process.wait()


def test_it_lives_in_a_session_of_its_own():
    """So that Ctrl-C does not reach it, and it does its work after that."""
    with Sentinel() as sentinel:
        assert os.getsid(sentinel._process.pid) != os.getsid(0)
        process = group()
        sentinel.tell("+", process.pid)
    assert process.wait(10) == -signal.SIGKILL
    assert sentinel._process.returncode == 0


def test_it_needs_the_standard_library_alone():
    text = Path(tts.tuning.engine.sentinel.__file__).read_text()
    assert "import tts" not in text and "from tts" not in text


@pytest.mark.parametrize("line", ["+999999999\n", ""])
def test_what_is_gone_already_is_no_fault(line):
    command = [sys.executable, "-I", tts.tuning.engine.sentinel.__file__]
    done = subprocess.run(command, input=line, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
