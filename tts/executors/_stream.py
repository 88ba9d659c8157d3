"""Work on many things side by side, and hand out what comes of it as it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


async def side_by_side(
    source: Iterable[In], work: Callable[[In], Awaitable[Out]], concurrency: int
) -> AsyncGenerator[Out]:
    """Work on each thing of a source. Leaving the iteration cancels what is in flight.

    Args:
        source: Read as needed, never more than `concurrency` ahead of what is taken.
        work: What is done with each.
        concurrency: Most things in work or waiting to be taken, at least 1.

    Yields:
        What comes of each, in the order in which they end.

    Raises:
        Exception: What some work raises; what ended at the same time is handed out before.
    """
    things = iter(source)
    running: set[asyncio.Task[Out]] = set()
    open_ended = True
    try:
        while True:
            while open_ended and len(running) < concurrency:
                try:
                    thing = next(things)
                except StopIteration:
                    open_ended = False
                else:
                    running.add(asyncio.ensure_future(work(thing)))
            if not running:
                return
            ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            faults = [error for task in ended if (error := task.exception()) is not None]
            for task in ended:
                if task.exception() is None:
                    yield task.result()
            if faults:
                raise faults[0]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
