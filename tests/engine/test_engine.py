"""The engine's life and death: killed, started again, refused, called off, interrupted."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.engine_fixtures import other_peoples_warnings, spawned
from tts.backends.vllm import VLLMBackend
from tts.errors import ConfigError, EngineDead, EngineStartFailed
from tts.types import Problem, Request, Segment, Trajectory

pytestmark = [pytest.mark.engine, pytest.mark.slow]

PROBLEM = Problem.chat("p", "12+7*3-5+40-6=")
GIVEN = Segment("7*3=21")
SMALL = {"max_model_len": 256, "kv_cache_gib": 0.1, "max_num_seqs": 8}

# What a user's program looks like: it starts an engine, streams, and is killed by a signal.
PROGRAM = """
import asyncio, multiprocessing
from tts.backends.vllm import VLLMBackend
from tts.types import Problem, Request, Trajectory

async def main():
    backend = VLLMBackend("mini-reasoner", {"max_model_len": 256, "kv_cache_gib": 0.1})
    await backend.start()
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    problem = Problem.chat("a", "12+7*3-5+40-6=")
    request = Request(problem, Trajectory.root(), max_tokens=200, watch=True)
    async with backend.open(request) as stream:
        async for _ in stream:
            await asyncio.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


async def decode(backend, **how):
    request = Request(PROBLEM, Trajectory.root(), **{"max_tokens": 200, **how})
    async with backend.open(request) as stream:
        async for _ in stream:
            pass
    return stream


def gone(pids: list[int], seconds: float) -> bool:
    """Whether processes end within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(psutil.pid_exists(pid) for pid in pids):
            return True
        time.sleep(0.1)
    return False


async def test_an_engine_that_is_killed_comes_back_once():
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with other_peoples_warnings():
        async with VLLMBackend("mini-reasoner", SMALL) as backend:
            (core,) = spawned(before)
            flights = [asyncio.create_task(decode(backend, watch=bool(i % 2))) for i in range(6)]
            async with asyncio.timeout(10):
                while not backend.stats.generation_tokens:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.005)
            os.kill(core.pid, signal.SIGKILL)
            async with asyncio.timeout(5):
                outcomes = await asyncio.gather(*flights, return_exceptions=True)
            assert all(isinstance(outcome, EngineDead) for outcome in outcomes)
            assert all(outcome.retryable for outcome in outcomes)

            # The next requests start it again, once for all of them.
            streams = await asyncio.gather(*(decode(backend) for _ in range(4)))
            assert all(stream.trajectory.finish in ("stop", "length") for stream in streams)
            assert backend.stats.restarts == 1

            # A second death is final. This time a text is being read.
            (core,) = spawned(before)
            os.kill(core.pid, signal.SIGSTOP)
            reading = asyncio.create_task(backend.read(PROBLEM, Trajectory.root(), GIVEN))
            await asyncio.sleep(0.1)
            os.kill(core.pid, signal.SIGKILL)
            with pytest.raises(EngineDead):
                await reading
            with pytest.raises(EngineDead, match="died a second time") as error:
                await decode(backend)
            assert not error.value.retryable
            with pytest.raises(EngineDead, match="died a second time"):
                await backend.read(PROBLEM, Trajectory.root(), GIVEN)
    assert spawned(before) == []
    with pytest.raises(ConfigError, match="This engine was closed"):
        await decode(backend)


async def test_a_start_that_fails_shows_the_end_of_the_log():
    settings = {**SMALL, "extra": {"kv_cache_memory_bytes": 1000}}
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    backend = VLLMBackend("mini-reasoner", settings)
    with other_peoples_warnings(), pytest.raises(EngineStartFailed) as error:
        await backend.start()
    first, *rest = error.value.message.splitlines()
    start = "The engine could not start mini-reasoner: ValueError: No available memory"
    assert first.startswith(start)
    assert "end of the engine's log" in rest[0]
    assert error.value.hint.startswith("Lower kv_cache_gib")
    assert not error.value.retryable
    assert spawned(before) == []


async def test_an_argument_that_vllm_does_not_know_is_named():
    backend = VLLMBackend("mini-reasoner", {"extra": {"swap_space_of_old": 4}})
    with other_peoples_warnings(), pytest.raises(EngineStartFailed) as error:
        await backend.start()
    assert "swap_space_of_old" in error.value.message
    assert error.value.hint.startswith("An argument under engine.extra is unknown")


async def test_a_start_that_is_called_off_leaves_nothing_behind():
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    backend = VLLMBackend("mini-reasoner", SMALL)
    with other_peoples_warnings():
        start = asyncio.create_task(backend.start())
        async with asyncio.timeout(30):
            while not spawned(before):  # noqa: ASYNC110 - a process tells nobody
                await asyncio.sleep(0.05)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
    assert spawned(before) == []
    await backend.aclose()


def test_no_engine_outlives_its_program(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    root = Path(__file__).parents[2]
    signals = (signal.SIGINT, signal.SIGKILL)
    programs = [
        subprocess.Popen(
            [sys.executable, str(script)],
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in signals
    ]
    for program, number in zip(programs, signals, strict=True):
        with program:
            assert program.stdout is not None
            pids = [int(pid) for pid in program.stdout.readline().split()]
            assert pids, program.communicate()[1]
            time.sleep(0.5)
            program.send_signal(number)
            _, errors = program.communicate(timeout=30)
        assert gone(pids, 20), number
        assert program.returncode in (1, -number, 128 + number)
        assert "Exception ignored" not in errors
        assert "never retrieved" not in errors


def test_no_child_is_left_over_from_these_tests():
    names = [child.name for child in multiprocessing.active_children()]
    assert len([name for name in names if "Core" in name]) <= 1  # the session's own engine
