"""Who may be at work on an endpoint at once, and who comes next.

Two rules, so that a verifier never waits for a stream that waits for it:

* Streams that somebody watches, which may be held open for as long as that takes, together hold at
  most all slots but one. Of a single slot they may hold that.
* A slot that comes free goes to a verifier before anyone else; the rest is first come, first
  served.

So a verifier waits at most for a request that nobody watches, which ends by itself. Knows nothing
of what is asked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from tts.types import Request

Lane = Literal["verifier", "answer", "stream"]
"""Who asks: a verifier, or the policy for a whole answer, or for a stream that is watched."""


def lane_of(request: Request) -> Lane:
    """The lane in which a request waits."""
    if request.verifying:
        return "verifier"
    return "stream" if request.watch else "answer"


class Slots:
    """A number of slots; bound to the event loop on which somebody first waits.

    Args:
        size: How many there are, at least 1.
    """

    __slots__ = ("_arrivals", "_free", "_most_streams", "_streams", "_waiting")

    def __init__(self, size: int) -> None:
        self._free = size
        self._most_streams = max(1, size - 1)
        self._streams = 0
        self._arrivals = 0
        self._waiting: dict[Lane, deque[tuple[int, asyncio.Future[None]]]] = {
            lane: deque() for lane in ("verifier", "answer", "stream")
        }

    @asynccontextmanager
    async def hold(self, lane: Lane) -> AsyncIterator[None]:
        """A block that holds a slot, once there is one."""
        await self.acquire(lane)
        try:
            yield
        finally:
            self.release(lane)

    async def acquire(self, lane: Lane) -> None:
        """Wait for a slot, and take it."""
        self._arrivals += 1
        waiter = (self._arrivals, asyncio.get_running_loop().create_future())
        self._waiting[lane].append(waiter)
        self._serve()
        try:
            await waiter[1]
        except asyncio.CancelledError:
            if waiter in self._waiting[lane]:
                self._waiting[lane].remove(waiter)
            if not waiter[1].cancelled():  # it had been given one in the meantime
                self.release(lane)
            raise

    def release(self, lane: Lane) -> None:
        """Give a slot back."""
        self._free += 1
        self._streams -= lane == "stream"
        self._serve()

    def _serve(self) -> None:
        while self._free and (lane := self._next()):
            _, future = self._waiting[lane].popleft()
            if future.done():  # cancelled
                continue
            self._free -= 1
            self._streams += lane == "stream"
            future.set_result(None)

    def _next(self) -> Lane | None:
        """The lane whose head is to be served."""
        if self._waiting["verifier"]:
            return "verifier"
        full = self._streams >= self._most_streams
        others: tuple[Lane, ...] = ("answer",) if full else ("answer", "stream")
        heads: list[tuple[int, Lane]] = [
            (self._waiting[lane][0][0], lane) for lane in others if self._waiting[lane]
        ]
        return min(heads)[1] if heads else None
