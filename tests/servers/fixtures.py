"""Scripted servers and backends that talk to them, for tests; imported by `conftest.py`."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from tests.servers.scripted import Call, ScriptedServer, Traits, tokens, written
from tts.backends.openai import OpenAIBackend
from tts.types import Problem, Request, Sampling, Trajectory

GREEDY = Sampling(temperature=0.0)
TEXT = Problem("text", prompt="why?")
CHAT = Problem.chat("chat", "why?")
ANSWER = written("why?", 0)  # to both, at temperature 0
SIZE = len(tokens(ANSWER)) + 1  # the end-of-sequence token is charged


@dataclass
class FakeTime:
    """Time that passes only when somebody sleeps.

    Attributes:
        now: Seconds.
        slept: All waits, in order.
    """

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        """The time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Starts servers, with the traits that are named."""
    with ExitStack() as stack:
        yield lambda **traits: stack.enter_context(ScriptedServer(Traits(**traits)))


@pytest_asyncio.fixture
async def connect(monkeypatch) -> AsyncIterator[Callable[..., OpenAIBackend]]:
    """Makes backends on servers, with settings that are named; time is a fake one."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    made = []

    def make(*servers: ScriptedServer, time: FakeTime | None = None, **how) -> OpenAIBackend:
        time = time or FakeTime()
        urls = [server.url for server in servers]
        settings = {"clock": time.clock, "sleep": time.sleep, "rng": random.Random(0), **how}
        made.append(OpenAIBackend("toy", urls, **settings))
        return made[-1]

    yield make
    for backend in made:
        await backend.aclose()


def ask(problem: Problem = TEXT, trajectory: Trajectory | None = None, **how) -> Request:
    """A request of up to 100 tokens."""
    return Request(problem, trajectory or Trajectory.root(), **{"max_tokens": 100, **how})


async def decode(backend, request: Request):
    """The stream of a request, read to its end."""
    async with backend.open(request) as stream:
        async for _ in stream:
            pass
    return stream


def text_of(stream) -> str:
    """What has been written."""
    return str(stream.trajectory.text)


def truth(*calls: Call) -> tuple[int, int]:
    """Prompt and completion tokens of calls, by the server's log."""
    return sum(c.prompt_tokens for c in calls), sum(c.completion_tokens for c in calls)


def accounts(*streams) -> tuple[int, int]:
    """Prompt and completion tokens of streams, as they are charged."""
    usages = [stream.usage for stream in streams]
    return sum(u.prompt_tokens for u in usages), sum(u.completion_tokens for u in usages)


async def until(happened: Callable[[], bool]) -> None:
    """Wait until a server in another thread has got so far."""
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.005)


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
