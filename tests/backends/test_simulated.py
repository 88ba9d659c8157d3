"""The simulated backend: steps, stops, caps, slots, and time that passes on a virtual clock."""

from __future__ import annotations

import asyncio
import time

import tts
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.types import Request, Trajectory


def stepping(problem, node, seed):
    number = node.text.count("\n\n")
    if number == 3:
        return Step("\\boxed{9}", 4, seconds=1.0)
    return Step(f"step {number}\n\n", 10, final=False, seconds=1.0)


async def decode(backend, problem, **how):
    async with backend.open(Request(problem, Trajectory.root(), **how)) as stream:
        chunks = [chunk async for chunk in stream]
    return stream, chunks


async def test_a_decode_runs_to_the_answer(problem):
    stream, chunks = await decode(SimulatedBackend(stepping), problem)
    assert stream.trajectory.text == "step 0\n\nstep 1\n\nstep 2\n\n\\boxed{9}"
    assert stream.usage.completion_tokens == 34
    assert (len(chunks), stream.trajectory.finish) == (1, "stop")


async def test_a_stop_string_ends_a_step_and_the_next_request_goes_on(problem):
    backend = SimulatedBackend(stepping)
    node = Trajectory.root()
    finishes = []
    while node.finish != "stop":
        async with backend.open(Request(problem, node, stop=("\n\n",))) as stream:
            async for _ in stream:
                pass
        node = stream.trajectory
        finishes.append(node.finish)
    assert finishes == ["step", "step", "step", "stop"]
    assert node.clock == 34


async def test_the_cap_cuts(problem):
    stream, _ = await decode(SimulatedBackend(stepping), problem, max_tokens=25)
    assert stream.trajectory.finish == "length"
    assert stream.usage.completion_tokens == 25


async def test_time_is_virtual_and_slots_are_shared():
    clock = VirtualClock()
    backend = SimulatedBackend(stepping, clock=clock, slots=4)
    problems = [tts.Problem(f"p{i}", prompt="x") for i in range(8)]
    started = time.monotonic()
    async for _ in tts.solve_all(problems, strategy=tts.Greedy(), backend=backend):
        pass
    assert clock.now == 8.0  # eight answers of four seconds each, on four slots
    assert time.monotonic() - started < 2


async def test_leaving_gives_the_slot_back(problem):
    backend = SimulatedBackend(stepping, clock=VirtualClock(), slots=1)
    await backend.start()
    async with backend.open(Request(problem, Trajectory.root(), watch=True)) as stream:
        async for _ in stream:
            break
    assert stream.trajectory.finish == "abort"
    assert backend.generated == stream.usage.completion_tokens == 5
    await asyncio.wait_for(decode(backend, problem), 1)
