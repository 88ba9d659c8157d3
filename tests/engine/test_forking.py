"""Engines as forks of a process that has imported vLLM: which are, and what a fork is given."""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import os
import subprocess
import sys

import psutil
import pytest

from tests.engine_fixtures import other_peoples_warnings
from tts.backends.vllm import VLLMBackend
from tts.engine.forking import DONE, READY, Server

SMALL = {"max_model_len": 256, "kv_cache_gib": 0.1, "max_num_seqs": 8}


@pytest.fixture
def started(monkeypatch):
    """Where starts of Python's fork server are noted down, and none is done."""
    seen = []
    monkeypatch.setattr(multiprocessing.forkserver._forkserver, "_forkserver_pid", None)
    monkeypatch.setattr(multiprocessing, "set_forkserver_preload", lambda modules: None)
    monkeypatch.setattr(
        multiprocessing.forkserver, "ensure_running", lambda: seen.append(os.environ[READY])
    )
    return seen


def test_it_is_started_once_and_suits_those_with_the_same_early_variables(started, monkeypatch):
    server = Server()
    assert server.begin() and server.begin()
    assert len(started) == 1 and READY not in os.environ
    monkeypatch.setenv("SOME_LATE_VARIABLE", "1")
    assert server.begin()
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    assert not server.begin()
    assert len(started) == 1


def test_somebody_elses_server_is_left_alone(started, monkeypatch):
    monkeypatch.setattr(multiprocessing.forkserver._forkserver, "_forkserver_pid", 1)
    assert not Server().begin()
    assert not started


@pytest.mark.parametrize(("said", "ready"), [(DONE, True), ("ImportError: no", False)])
def test_it_is_waited_for(started, said, ready):
    server = Server()
    server.begin()
    looks = []

    def off():
        looks.append(1)
        if len(looks) == 3:
            with open(started[0], "w") as file:
                file.write(said)
        return False

    assert server.wait(off) is ready
    assert len(looks) == 3


def test_nobody_waits_for_one_that_was_killed(started, monkeypatch):
    server = Server()
    server.begin()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(multiprocessing.forkserver._forkserver, "_forkserver_pid", child.pid)
    child.kill()
    assert not server.wait(lambda: False)
    child.wait()


def test_nobody_waits_for_what_is_called_off(started):
    server = Server()
    server.begin()
    assert not server.wait(lambda: True)


@pytest.mark.engine
@pytest.mark.slow
async def test_the_next_engine_is_up_in_a_fraction_of_the_time_of_imports():
    before = {child.pid for child in multiprocessing.active_children()}
    with other_peoples_warnings():
        async with VLLMBackend("mini-reasoner", SMALL):
            async with VLLMBackend("mini-reasoner", SMALL):
                (first, other) = [
                    psutil.Process(child.pid)
                    for child in multiprocessing.active_children()
                    if child.pid not in before
                ]
                assert first.ppid() == other.ppid() != os.getpid()
                assert psutil.Process(first.ppid()).num_threads() == 1
                assert other.cpu_times().user < 8
