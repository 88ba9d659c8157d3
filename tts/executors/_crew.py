"""The workers that are there, who has room, and who comes in place of a lost one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from tts.errors import BackendError, TTSError
from tts.executors._member import Lost

_LOG = logging.getLogger("tts")


class Hand(Protocol):
    """A worker, as far as the crew knows it."""

    load: int

    async def aclose(self) -> None:
        """End it in order."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


H = TypeVar("H", bound=Hand)


class Crew(Generic[H]):
    """Workers side by side.

    Args:
        hire: Brings a new one, ready to work; may take minutes.
        size: How many there should be, at least 1.
        restarts: How many lost ones are replaced, in all.
    """

    def __init__(self, hire: Callable[[], Awaitable[H]], size: int, restarts: int) -> None:
        self._hire, self._size, self._restarts = hire, size, restarts
        self._hiring: set[asyncio.Task[None]] = set()
        self._full = False
        self.members: list[H] = []

    async def fill(self) -> None:
        """Bring everyone, at the same time; only once, as lost ones are replaced by themselves.

        Raises:
            Exception: The first that bringing one raised; nobody is left then.
        """
        if self._full:
            return
        hires = [asyncio.ensure_future(self._hire()) for _ in range(self._size)]
        try:
            self.members += await asyncio.gather(*hires)
            self._full = True
        finally:
            for hire in hires:
                hire.cancel()
            found = await asyncio.gather(*hires, return_exceptions=True)
            for member in found:
                if not isinstance(member, BaseException) and member not in self.members:
                    member.kill()

    async def free(self) -> H:
        """Whoever has the least to do; waits while nobody is there and somebody is coming.

        Raises:
            BackendError: Nobody is coming any more.
        """
        while not self.members:
            if not self._hiring:
                error = BackendError(
                    "All Ray workers are lost, and executor.restarts allows no further ones.",
                    hint="What has ended is recorded, and the same command goes on from there;"
                    " the logs of the workers are in Ray's session folder.",
                )
                error.retryable = False
                raise error
            await asyncio.wait(self._hiring, return_when=asyncio.FIRST_COMPLETED)
        return min(self.members, key=lambda member: member.load)

    def lose(self, member: H, why: Exception) -> None:
        """Strike off a worker, once, and see to another in its place."""
        if member not in self.members:
            return
        self.members.remove(member)
        member.kill()
        _LOG.warning(
            f"A Ray worker was lost with {member.load} problems in flight, which run again:"
            f" {why} ({len(self.members)} workers left, {self._restarts} restarts)."
        )
        task = asyncio.create_task(self._replace(), name="replace a worker")
        self._hiring.add(task)
        task.add_done_callback(self._hiring.discard)

    async def _replace(self) -> None:
        """Bring one in place of a lost one, as long as that is allowed."""
        while self._restarts:
            self._restarts -= 1
            try:
                self.members.append(await self._hire())
                return
            except (Lost, TTSError) as error:
                _LOG.warning(f"A new Ray worker did not come up: {error}")

    async def aclose(self) -> None:
        """Send everyone home."""
        for task in self._hiring:
            task.cancel()
        await asyncio.gather(*self._hiring, return_exceptions=True)
        leaving, self.members, self._full = self.members, [], False
        await asyncio.gather(*(member.aclose() for member in leaving))
