"""Worker processes that are killed when they take too long.

A time limit on SymPy holds only from outside: signals reach Python between two instructions, and
one of them may be a power that takes years. So each request goes to a process of its own
interpreter, and a process that is late, or whose caller was cancelled, is killed.

The processes are plain `python -m …` children that speak JSON lines, not `multiprocessing` ones:
those import the caller's main module again, which runs a script without `if __name__` twice. There
is no thread either, so nothing has to be joined at exit, and any event loop can use the same
processes, one loop after the other. A worker whose parent dies reads the end of its input, and
ends.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tts.errors import GradingError
from tts.sandbox.gates import Gates

START_LIMIT = 120.0
"""Seconds that a worker may take to import its libraries on a machine that is busy."""


class WorkerDied(Exception):
    """A worker ended in the middle of a request."""


class Worker:
    """One child process, for one request at a time."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.curdir for p in sys.path)},
            start_new_session=True,  # Ctrl-C is for the parent, which then ends its workers
        )
        self.ready = False

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    async def ask(self, request: Sequence[str], seconds: float) -> Any:
        """Send a request, and wait for the reply.

        Whoever catches an exception from here must close the worker: its reply may still come.

        Args:
            request: Goes out as one line of JSON; a few kilobytes at most, so that it fits a pipe.
            seconds: Time limit, not counting the start of the process.

        Raises:
            TimeoutError: The limit has passed.
            WorkerDied: The process has ended.
            GradingError: The process does not start.
        """
        if not self.ready:
            await self._start()
        try:
            self._stdin.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError as error:
            raise WorkerDied from error
        async with asyncio.timeout(seconds):
            return json.loads(await self._line())

    def close(self) -> None:
        """Kill the process and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    async def _start(self) -> None:
        try:
            async with asyncio.timeout(START_LIMIT):
                await self._line()
        except (TimeoutError, WorkerDied) as error:
            raise GradingError(
                f"The process that grades answers does not start ({self._module}).",
                hint=f'Does `python -m {self._module}` print "ready"?',
            ) from error
        self.ready = True

    async def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            await _readable(self._stdout.fileno())
            piece = os.read(self._stdout.fileno(), 1 << 16)
            if not piece:
                raise WorkerDied
            line += piece
        return line

    @property
    def _stdin(self) -> Any:
        return self._process.stdin

    @property
    def _stdout(self) -> Any:
        return self._process.stdout


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _wake, waiter)
    try:
        await waiter
    finally:
        loop.remove_reader(descriptor)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


@dataclass
class Workers:
    """Up to `size` workers, started when needed and kept; safe to use from many tasks.

    Attributes:
        module: What the processes run.
        size: Most processes at a time, for each event loop.
    """

    module: str
    size: int
    _idle: list[Worker] = field(default_factory=list)
    _gates: Gates = field(init=False)

    def __post_init__(self) -> None:
        self._gates = Gates(self.size)
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._idle.clear)  # they are the parent's

    async def ask(self, request: Sequence[str], seconds: float) -> Any:
        """The reply of some worker; a request whose worker dies gets a second one.

        Args:
            request: One line of JSON for the worker.
            seconds: Time limit of the work itself; waiting for a free worker does not count.

        Raises:
            TimeoutError: The limit has passed; the worker was killed.
            GradingError: Two workers died of the request, or none starts.
        """
        async with self._gates.here():
            with contextlib.suppress(WorkerDied):
                return await self._attempt(request, seconds)
            try:
                return await self._attempt(request, seconds)
            except WorkerDied as error:
                raise GradingError(f"Grading crashed twice on {request!r:.200}.") from error

    def close(self) -> None:
        """End all idle workers; the next request starts a new one."""
        while self._idle:
            self._idle.pop().close()

    async def _attempt(self, request: Sequence[str], seconds: float) -> Any:
        worker = self._take()
        try:
            reply = await worker.ask(request, seconds)
        except BaseException:
            worker.close()
            raise
        self._idle.append(worker)
        return reply

    def _take(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            worker.close()
        return Worker(self.module)
