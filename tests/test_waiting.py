"""Streams that wait for a judge, on one endpoint and from one pot: nobody locks anybody out.

A judge asks the same endpoint as the policy, which has four slots for sixty-four streams. The
modest strategy leaves its stream before it asks; the careless one keeps it open meanwhile.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace

import pytest

import tts
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.errors import BudgetExhausted, StrategyError
from tts.testing import LengthVerifier
from tts.types import Problem, Request, Result, Score, Trajectory, Usage

STREAMS, SLOTS = 64, 4
PATIENCE = 250  # seconds of the real clock, for a machine that is busy; an idle one takes two
PROBLEMS = [Problem(f"p{i}", prompt=f"question {i}?") for i in range(STREAMS)]
ONE = PROBLEMS[0]


class Judge(LengthVerifier):
    """Asks the model of its context about each trajectory."""

    def identity(self):
        return {"verifier": "judge"}

    def bound(self, problem, tokens, ctx):
        return ctx.backend.model.usage(20 + tokens, 0, 40).as_verifier() + Usage(verifier_calls=1)

    async def score(self, problem, trajectories, ctx):
        return [Score(await self._ask(t, ctx), "probability") for t in trajectories]

    async def _ask(self, trajectory, ctx):
        question = Problem("judge", prompt=f"good: {trajectory.text[:10]}?")
        request = Request(question, Trajectory.root(), max_tokens=40)
        async with ctx.backend.open(request) as stream:
            async for _ in stream:
                pass
        return len(stream.trajectory.text) % 7 / 7


@dataclass(frozen=True)
class Watching:
    """Streams of which each is judged after its first words; then the modest go on."""

    careless: bool = False
    streams: int = 1
    requires: frozenset[str] = frozenset({"verifier", "continuation"})

    async def __call__(self, problem, env):
        found = await asyncio.gather(*(self._paid(env, i) for i in range(self.streams)))
        candidates = tuple([await env.candidate(node) for node in found if node])
        return Result(problem.id, candidates[0] if candidates else None, candidates)

    async def _paid(self, env, child):
        try:
            return await self._one(env, child)
        except BudgetExhausted:
            return None

    async def _one(self, env, child):
        request = replace(env.request(Trajectory.root(), child), watch=True)
        async with env.backend.open(request) as stream:
            async for _ in stream:
                break
            if self.careless:
                (judged,) = await env.score([stream.trajectory])
        if self.careless:
            return stream.trajectory.scored(judged.score)
        (judged,) = await env.score([stream.trajectory])
        left = replace(env.request(judged, 0), max_tokens=8)
        async with env.backend.open(left) as rest:
            async for _ in rest:
                pass
        return rest.trajectory.scored(judged.score)


MODEST, CARELESS = Watching(), Watching(careless=True)
STYLES = pytest.mark.parametrize("strategy", [MODEST, CARELESS], ids=["modest", "careless"])


async def finish(problems, **how):
    """What comes of problems, within bounded time."""
    how = {"verifier": Judge(), "max_tokens": 40, **how}
    results = []
    async with asyncio.timeout(PATIENCE):
        async with aclosing(tts.solve_all(problems, **how)) as found:
            async for result in found:
                if result.error is not None:
                    raise result.error
                results.append(result)
    return results


def judged(results):
    return sum(c.score is not None for r in results for c in r.candidates)


def connected(connect, server, in_flight=SLOTS):
    return connect(server, api="completions", limits={"in_flight": in_flight})


@STYLES
@pytest.mark.parametrize("shape", ["problems", "samples"])
async def test_streams_and_judges_share_four_slots_of_a_server(serve, connect, strategy, shape):
    server = serve(slots=SLOTS, pace=1e-3, stuck=3)  # a stream says no more until it is left
    backend = connected(connect, server)
    many = shape == "problems"
    strategy = strategy if many else replace(strategy, streams=STREAMS)
    results = await finish(PROBLEMS if many else [ONE], strategy=strategy, backend=backend)
    assert judged(results) == STREAMS
    assert server.peak == SLOTS
    assert backend.stats.retries == 0


@STYLES
@pytest.mark.parametrize("in_flight", [1, 2, STREAMS])
async def test_answers_that_end_let_judges_in_whatever_the_limits(
    serve, connect, strategy, in_flight
):
    """With one slot, or more than the server has, a judge waits until an open answer has ended."""
    server = serve(slots=SLOTS, pace=1e-3, words=30)
    backend = connected(connect, server, in_flight)
    results = await finish(PROBLEMS, strategy=strategy, backend=backend)
    assert judged(results) == STREAMS
    assert (server.held_back > 0) == (in_flight > SLOTS)


@STYLES
@pytest.mark.parametrize("shape", ["problems", "samples"])
async def test_streams_and_judges_share_four_simulated_slots(strategy, shape):
    many = shape == "problems"
    backend = SimulatedBackend(
        lambda problem, node, seed: Step("some words \\boxed{1}", 40, seconds=1.0),
        clock=VirtualClock(),
        slots=SLOTS,
    )
    strategy = strategy if many else replace(strategy, streams=STREAMS)
    results = await finish(PROBLEMS if many else [ONE], strategy=strategy, backend=backend)
    assert judged(results) == STREAMS
    assert backend.open_streams == 0


@STYLES
@pytest.mark.parametrize("shape", ["problems", "samples"])
@pytest.mark.parametrize("tokens", [60, 1000])
async def test_a_tight_pot_ends_in_words_and_never_in_a_wait(
    serve, connect, strategy, shape, tokens
):
    server = serve(slots=SLOTS, words=30)
    backend, budget = connected(connect, server), tts.Budget(total_tokens=tokens)
    if shape == "problems":
        results = await finish(PROBLEMS, backend=backend, strategy=strategy, total_budget=budget)
    else:
        wide = replace(strategy, streams=STREAMS)
        results = await finish([ONE], backend=backend, strategy=wide, budget=budget)
    limit = "total_budget.total_tokens" if shape == "problems" else "total_tokens"
    assert {r.limit for r in results if r.status == "exhausted"} == {limit}
    assert 0 < sum(r.usage.total_tokens for r in results) <= tokens


@STYLES
async def test_a_pot_that_holds_both_pays_both(serve, connect, strategy):
    server = serve(slots=SLOTS, words=30)
    budget = tts.Budget(total_tokens=2000)  # prompts are leased by the byte here
    results = await finish(
        PROBLEMS, backend=connected(connect, server), strategy=strategy, budget=budget
    )
    assert judged(results) == STREAMS
    assert {r.status for r in results} == {"done"}


@pytest.mark.parametrize("careless", [False, True])
async def test_a_stream_alone_with_the_whole_pot(world, careless):
    """All is held by the stream; there is something for its judge only once it is left."""
    strategy, budget = Watching(careless), tts.Budget(total_tokens=110)
    async with asyncio.timeout(PATIENCE):
        result = await tts.solve(
            ONE,
            strategy=strategy,
            backend=world.backend(),
            verifier=Judge(),
            budget=budget,
            max_tokens=100,
        )
    assert bool(result.candidates) != careless
    if careless:
        assert (result.status, result.limit) == ("exhausted", "total_tokens")


async def test_a_controller_is_not_asked_from_within_a_stream(world):
    async def holding(problem, env):
        async with env.backend.open(env.request(Trajectory.root(), 0)):
            await env.more((), 1)

    holding.requires = frozenset()
    budget = tts.Budget(completion_tokens=100)
    with pytest.raises(StrategyError, match="held a stream open"):
        await tts.solve(ONE, strategy=holding, backend=world.backend(), budget=budget)
