"""The line to the servers: sends a job until it has its answer, or cannot have one.

Routing, limits, retries and time-outs meet here. Knows nothing of prompts and answers: a `Job`
makes the bodies and reads the replies.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any

from tts.backends._openai.job import Job, Patience, Stats
from tts.backends._openai.limits import Gate, Limits
from tts.backends._openai.replicas import Replica, Router, Visit
from tts.backends._openai.retry import Fault, back_off, fault_of
from tts.backends._openai.secrets import Scrubber
from tts.errors import BackendError, EndpointDown, TTSError

_LOG = logging.getLogger("tts.backends.openai")
_CONNECT_SECONDS = 10.0
_LOOK_AGAIN_SECONDS = 0.25
_TELL_SECONDS = 10.0


class Line:
    """Clients, limits and routes to all servers of one backend.

    Args:
        urls: Base URLs.
        key: Sent to all of them.
        limits: Of all of them together.
        patience: How long things are tried.
        scrub: Takes secrets out of texts.
        clock: Seconds, never going back.
        sleep: Waits for seconds.
        rng: Chance, for back-off alone.
    """

    def __init__(
        self,
        urls: Sequence[str],
        key: str,
        limits: Limits,
        patience: Patience,
        scrub: Scrubber,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        rng: random.Random,
    ) -> None:
        self.router = Router([Replica(url) for url in urls])
        self._stats = Stats()
        self._patience = patience
        self._scrub = scrub
        self._clock, self._sleep, self._rng = clock, sleep, rng
        self._limits = limits
        self._gate = Gate(limits, clock, sleep)
        self._make = _client_maker(key, limits.in_flight, patience.timeout)
        self._clients: dict[str, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = -_TELL_SECONDS
        self._last = ""  # the last fault, for the final word

    @property
    def stats(self) -> Stats:
        """Counts since the start."""
        self._stats.ejections = self.router.ejections
        return self._stats

    def start(self) -> None:
        """Make the clients, on the running event loop.

        Raises:
            BackendError: They belong to another event loop.
        """
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is not None:
            raise BackendError(
                "This backend belongs to another event loop.", hint="Close it there first."
            )
        self._loop = loop
        self._gate = Gate(self._limits, self._clock, self._sleep)  # it belongs to a loop too
        self._clients = {r.url: self._make(r.url) for r in self.router.replicas}

    async def aclose(self) -> None:
        """Close all connections; `start` makes new ones."""
        clients, self._clients, self._loop = self._clients, {}, None
        for client in clients.values():
            await client.close()

    async def deliver(self, job: Job) -> None:
        """Ask until the job is finished.

        Raises:
            EndpointDown: The servers refuse to work for us, or have been away for too long.
            BackendError: A server failed and retries are used up, or would distort the answers.
            ContextTooLong: The server says so.
            ConfigError: The server refuses the request.
        """
        failures = 0
        while True:
            async with self._gate.slots.hold(job.lane):
                visit = await self._visit(job.key)
                fault = await self._attempt(visit, job)
            if fault is None:
                return
            self._tell(visit, fault)
            if fault.kind == "cut":
                self._stats.cut_streams += 1
                if not job.cut(fault.message):
                    return
            elif fault.kind not in ("busy", "down"):
                raise fault.error()
            # A server that is known to be ill is tried for as long as patience lasts.
            trial = visit.trial and fault.kind != "busy"
            failures += not trial
            if failures > self._patience.retries:
                raise BackendError(
                    f"Gave up after {failures} attempts; the last: {fault.message}.",
                    hint="Raise backend.retries, or lower backend.limits.",
                )
            self._stats.retries += 1
            if not trial:
                longest = self._patience.down
                await self._sleep(back_off(failures, fault.retry_after, longest, self._rng))

    async def _visit(self, key: Hashable) -> Visit:
        """The server to ask, once there is one."""
        while True:
            now = self._clock()
            visit = self.router.visit(key, now)
            if visit is not None:
                return visit
            down = self.router.down_for(now)
            if down > self._patience.down:
                raise EndpointDown(
                    f"Nothing answered for {self._patience.down:g} s; the last: {self._last}.",
                    hint="What had ended is kept; start the server and run again.",
                )
            wait = min(self.router.wait(now), self._patience.down - down, _LOOK_AGAIN_SECONDS)
            await self._sleep(max(wait, 0.01))

    async def _attempt(self, visit: Visit, job: Job) -> Fault | None:
        reserved, well = job.bound(), None
        try:
            await self._gate.admit(reserved)
            try:
                fault = await self._send(self._clients[visit.replica.url], job)
                well = fault.well if fault else True
            finally:
                self._gate.settle(reserved, job.used())
        except BackendError:
            well = True  # it did answer
            raise
        finally:
            self.router.ended(visit, well=well, now=self._clock())
        return fault

    async def _send(self, client: Any, job: Job) -> Fault | None:
        import httpx
        import openai

        path, body = job.order()
        self._stats.requests += 1
        job.sent(True)
        kind = object if job.streaming else httpx.Response
        try:
            # As a stream in any case: so a reply that is cut is told from one that never came.
            reply = await client.post(
                path, body=body, cast_to=kind, stream=True, stream_cls=openai.AsyncStream[object]
            )
        except Exception as error:  # HTTP libraries raise more than they document
            fault = fault_of(error, self._scrub, time.time())
            job.sent(fault.kind == "cut")
            return fault
        return await (self._stream(reply, job) if job.streaming else self._whole(reply, job))

    async def _whole(self, reply: Any, job: Job) -> Fault | None:
        try:
            async with asyncio.timeout(self._patience.timeout):
                raw = await reply.aread()
        except Exception as error:  # of one of two HTTP libraries
            return Fault("cut", self._scrub(f"the reply was cut ({type(error).__name__}: {error})"))
        finally:
            await reply.aclose()
        try:
            data = json.loads(raw)
        except ValueError:
            return Fault("wrong", f"its reply is no JSON: {self._scrub(raw[:80])}")
        _taken(job, data)
        return None

    async def _stream(self, reply: Any, job: Job) -> Fault | None:
        fault: Fault | None = None
        try:
            now = asyncio.get_running_loop().time
            async with asyncio.timeout(self._patience.timeout) as limit:
                async for data in reply:
                    limit.reschedule(now() + self._patience.stall)
                    if _taken(job, data):
                        break
        except TTSError:
            raise
        except Exception as error:  # of one of two HTTP libraries
            fault = _stream_fault(error, self._scrub)
        finally:
            await reply.close()
        if job.finished:
            return None  # whatever came after the answer
        return fault or Fault("cut", "the reply ended before the answer did")

    def _tell(self, visit: Visit, fault: Fault) -> None:
        self._last = f"{visit.replica.url}: {fault.message}"
        now = self._clock()
        if now - self._told >= _TELL_SECONDS:
            self._told = now
            _LOG.warning("%s (%s)", self._last, fault.kind)


def _taken(job: Job, data: Any) -> bool:
    """Have a job read what a server sent, whatever that is."""
    try:
        return job.take(data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BackendError(f"The server's reply is malformed ({type(error).__name__}).") from None


def _stream_fault(error: Exception, scrub: Scrubber) -> Fault:
    """What broke a stream under way: an error that the server sent, or the loss of the line."""
    import openai

    lost = isinstance(error, openai.APIConnectionError)
    if not lost and isinstance(error, openai.OpenAIError | ValueError):
        return Fault("wrong", scrub(f"it sent an error within the answer: {error}"))
    said = "the reply stalled" if isinstance(error, TimeoutError) else "the reply was cut"
    cause = error.__cause__ or error
    return Fault("cut", scrub(f"{said} ({type(cause).__name__}: {cause})"))


def _client_maker(key: str, in_flight: int, timeout: float) -> Callable[[str], Any]:
    """Makes clients; a closure, so that no attribute anywhere shows the key."""

    def make(url: str) -> Any:
        import openai

        limits = type(openai.DEFAULT_CONNECTION_LIMITS)(
            max_connections=None, max_keepalive_connections=in_flight, keepalive_expiry=30.0
        )
        waits = openai.Timeout(timeout, connect=min(_CONNECT_SECONDS, timeout))
        http = openai.DefaultAsyncHttpxClient(limits=limits, timeout=waits)
        return openai.AsyncOpenAI(
            base_url=url, api_key=key, max_retries=0, timeout=waits, http_client=http
        )

    return make
