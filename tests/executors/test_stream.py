from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from tts.executors._stream import side_by_side


async def collect(stream):
    return [item async for item in stream]


async def test_what_ends_first_comes_first():
    ends = [asyncio.Event() for _ in range(3)]
    order = [2, 0, 1]

    async def work(i):
        await ends[i].wait()
        return i

    async with aclosing(side_by_side(range(3), work, 3)) as results:
        for i in order:
            ends[i].set()
            assert await anext(results) == i


@pytest.mark.parametrize("concurrency", [1, 3, 50])
async def test_no_more_are_in_work_than_allowed(concurrency):
    inside, most, begun = 0, 0, []

    def source():
        for i in range(20):
            assert inside < concurrency
            begun.append(i)
            yield i

    async def work(i):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        return i

    assert sorted(await collect(side_by_side(source(), work, concurrency))) == list(range(20))
    assert most == min(concurrency, 20)
    assert begun == list(range(20))


async def test_a_fault_is_raised_behind_what_ended_with_it():
    async def work(i):
        if i == 1:
            raise ValueError("one")
        return i

    found = []
    with pytest.raises(ValueError, match="one"):
        async for result in side_by_side(range(3), work, 3):
            found.append(result)
    assert sorted(found) == [0, 2]


async def test_leaving_cancels_what_is_in_flight():
    cancelled = []

    async def work(i):
        if not i:
            return i
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(i)
            raise

    async with aclosing(side_by_side(range(9), work, 3)) as results:
        assert await anext(results) == 0
    assert sorted(cancelled) == [1, 2]
