"""Slots of an endpoint: never too many, streams all but one, verifiers first, and none lost."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.backends._slots import Slots, lane_of
from tts.types import Problem, Request, Trajectory

LANES = ("verifier", "answer", "stream")


@given(
    size=st.integers(1, 5),
    visits=st.lists(
        st.tuples(st.sampled_from(LANES), st.integers(0, 4), st.integers(0, 4), st.booleans()),
        max_size=40,
    ),
    seed=st.integers(),
)
async def test_whatever_the_schedule_the_rules_hold_and_no_slot_is_lost(size, visits, seed):
    slots, rng = Slots(size), random.Random(seed)
    held = {lane: 0 for lane in LANES}
    served = 0

    async def visit(lane, before, length):
        nonlocal served
        for _ in range(before):
            await asyncio.sleep(0)
        async with slots.hold(lane):
            served += 1
            held[lane] += 1
            assert sum(held.values()) <= size
            assert held["stream"] <= max(1, size - 1)
            try:
                for _ in range(length):
                    await asyncio.sleep(0)
            finally:
                held[lane] -= 1

    tasks = [asyncio.create_task(visit(*one)) for *one, _ in visits]
    left = [task for task, (*_, leaves) in zip(tasks, visits, strict=True) if leaves]
    for task in left:
        for _ in range(rng.randint(0, 2)):
            await asyncio.sleep(0)
        task.cancel()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert all(r is None or isinstance(r, asyncio.CancelledError) for r in results)
    assert served >= len(tasks) - len(left)
    async with asyncio.timeout(5):
        for _ in range(size):
            await slots.acquire("verifier")  # all are there again


@pytest.mark.parametrize("size", [1, 2, 4])
async def test_a_verifier_is_next_and_open_streams_leave_it_a_slot(size):
    slots, order = Slots(size), []

    async def visit(lane):
        async with slots.hold(lane):
            order.append(lane)
            if lane == "stream":
                await asyncio.Event().wait()  # for as long as nobody leaves it

    streams = [asyncio.create_task(visit("stream")) for _ in range(2 * size)]
    await asyncio.sleep(0)
    others = [asyncio.create_task(visit(lane)) for lane in ("answer", "verifier", "verifier")]
    await asyncio.wait(others, timeout=0.05)
    if size == 1:  # the one slot is the stream's; whoever waits does so until it ends
        assert order == ["stream"]
        streams[0].cancel()
        await asyncio.gather(*streams[:1], *others[1:], return_exceptions=True)
        assert order[1:3] == ["verifier", "verifier"]
    else:
        assert all(task.done() for task in others)
        assert order.count("stream") == size - 1
    for task in (*streams, *others):
        task.cancel()
    await asyncio.gather(*streams, *others, return_exceptions=True)


async def test_answers_and_streams_are_served_as_they_came():
    slots, order = Slots(2), []

    async def visit(number, lane):
        async with slots.hold(lane):
            order.append(number)
            await asyncio.sleep(0)

    lanes = ["stream", "answer", "stream", "answer", "answer", "stream"]
    await asyncio.gather(*(visit(*pair) for pair in enumerate(lanes)))
    assert order == sorted(order)


def test_lanes_of_requests():
    request = Request(Problem("p", prompt="x"), Trajectory.root())
    assert lane_of(request) == "answer"
    assert lane_of(Request(Problem("p", prompt="x"), Trajectory.root(), watch=True)) == "stream"
    for watch in (True, False):
        asked = Request(Problem("p", prompt="x"), Trajectory.root(), watch=watch, verifying=True)
        assert lane_of(asked) == "verifier"
