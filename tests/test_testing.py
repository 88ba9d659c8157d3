"""The contract tests find what they are there to find."""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar

import pytest

import tts
from tests.readers import Reader
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import ContractError
from tts.strategies._common import generate
from tts.testing import LengthVerifier, check_backend, check_strategy, check_verifier
from tts.types import Capability, Problem, Result, Score, Segment, Trajectory, Usage


class Honest:
    requires: frozenset[Capability] = frozenset()

    async def __call__(self, problem, env):
        candidate = await env.candidate(await generate(env, env.request(Trajectory.root(), 0)))
        env.publish(candidate)
        return Result(problem.id, candidate, (candidate,))


class Cheat(Honest):
    async def __call__(self, problem, env):
        request = env.request(Trajectory.root(), 1)
        async with env.backend.inner.open(request) as stream:  # past the meter
            async for _ in stream:
                pass
        return await super().__call__(problem, env)


class Raises(Honest):
    async def __call__(self, problem, env):
        candidates = []
        for child in range(5):
            trajectory = await generate(env, env.request(Trajectory.root(), child))
            candidates.append(await env.candidate(trajectory))
        return Result(problem.id, candidates[-1], tuple(candidates))


class Arrival(Honest):
    async def __call__(self, problem, env):
        requests = [env.request(Trajectory.root(), child) for child in range(8)]
        tasks = [asyncio.create_task(generate(env, request)) for request in requests]
        try:
            first = await next(iter(asyncio.as_completed(tasks)))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        candidate = await env.candidate(first)
        return Result(problem.id, candidate, (candidate,))


@dataclass
class Stateful(Honest):
    calls: list[str] = field(default_factory=list)

    async def __call__(self, problem, env):
        self.calls.append(problem.id)
        trajectory = await generate(env, env.request(Trajectory.root(), len(self.calls)))
        candidate = await env.candidate(trajectory)
        return Result(problem.id, candidate, (candidate,))


class Leaks(Honest):
    async def __call__(self, problem, env):
        block = env.backend.open(env.request(Trajectory.root(), 5))
        await block.__aenter__()
        return await super().__call__(problem, env)


class Swallows(Honest):
    async def __call__(self, problem, env):
        try:
            return await super().__call__(problem, env)
        except asyncio.CancelledError:
            return Result(problem.id, None)


async def test_an_honest_strategy_passes():
    await check_strategy(Honest())


@pytest.mark.parametrize(
    ("strategy", "promise"),
    [
        (Cheat(), "generated through `env`"),
        (Arrival(), "same result in any order"),
        (Stateful(), "same result in any order|no state on the strategy"),
        (Leaks(), "left open|generated through"),
        (Swallows(), "not swallowed"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_broken_strategy_is_found(strategy, promise):
    with pytest.raises(ContractError, match=promise):
        await check_strategy(strategy)


def simulate(problem, node, seed):
    rng = random.Random(f"{seed}{len(node.text)}")
    return Step("".join(rng.choices("abcdefgh", k=9)), 9, rng.random() < 0.3, 0.0, -0.5)


PROBLEM = Problem("p", prompt="x")


async def test_the_simulated_backend_passes():
    backend = SimulatedBackend(
        lambda problem, node, seed: Step("x", 1, len(node.text) > 30), slots=2
    )
    await backend.start()
    await check_backend(backend, PROBLEM)


class Wrapper:
    """A stream with a fault."""

    def __init__(self, block, fault):
        self.block, self.fault = block, fault

    async def __aenter__(self):
        self.stream = await self.block.__aenter__()
        return self

    async def __aexit__(self, *error):
        return await self.block.__aexit__(*error)

    async def __aiter__(self):
        async for chunk in self.stream:
            yield chunk

    @property
    def usage(self):
        usage = self.stream.usage
        if self.fault == "usage":
            return type(usage)(calls=1)
        return usage

    @property
    def trajectory(self):
        node = self.stream.trajectory
        if self.fault == "text":
            return node.parent.extend(Segment("?"), child=0, clock=node.clock, finish=node.finish)
        if self.fault == "clock":
            return node.after(node.clock + 1)
        return node


class Faulty(SimulatedBackend):
    fault = ""

    def open(self, request):
        return Wrapper(super().open(request), self.fault)


@pytest.mark.parametrize(
    ("fault", "promise"),
    [("usage", "at least one token"), ("text", "prefix and the chunks"), ("clock", "clock")],
)
async def test_a_broken_backend_is_found(fault, promise):
    backend = Faulty(simulate)
    backend.fault = fault
    with pytest.raises(ContractError, match=promise):
        await check_backend(backend, PROBLEM)


async def test_an_unseeded_backend_is_found():
    numbers = iter(range(10**9))
    backend = SimulatedBackend(lambda p, node, seed: Step(f"text {next(numbers):09}", 4))
    with pytest.raises(ContractError, match="same seed"):
        await check_backend(backend, PROBLEM)


@pytest.mark.parametrize("identities", [itertools.count(), itertools.repeat({1, 2})])
async def test_an_identity_that_is_none_is_found(identities):
    class Nameless(SimulatedBackend):
        def identity(self):
            return {"model": next(identities)}

    with pytest.raises(ContractError, match="`identity` is of JSON types"):
        await check_backend(Nameless(simulate), PROBLEM)


def trajectories():
    root = Trajectory.root()
    texts = ("one", "two", "three")
    return [root.extend(Segment(t, logprobs=(-0.1,) * len(t)), child=0, clock=3) for t in texts]


class Context:
    backend = None

    def __init__(self):
        self.settled, self.memory = [], {}

    @asynccontextmanager
    async def work(self, bound):
        yield self

    def settle(self, usage):
        self.settled.append(usage)

    def rng(self, *names):
        return random.Random(str(names))


async def test_the_verifiers_pass():
    for verifier in (LengthVerifier(), tts.Likelihood()):
        await check_verifier(verifier, PROBLEM, trajectories(), Context())
        await check_verifier(verifier, PROBLEM, trajectories())
    assert tts.Likelihood().requires == {Capability.LOGPROBS}


class Comparing(LengthVerifier):
    async def score(self, problem, nodes, ctx):
        longest = max((len(n.text) for n in nodes), default=1)
        return [Score(len(n.text) / longest, "probability") for n in nodes]


class Positional(LengthVerifier):
    async def score(self, problem, nodes, ctx):
        return [Score(1 / (i + 1), "probability") for i, _ in enumerate(nodes)]


class Mixed(LengthVerifier):
    async def score(self, problem, nodes, ctx):
        return [Score(0.5, "logit" if "w" in n.text else "probability") for n in nodes]


@pytest.mark.parametrize(
    ("verifier", "promise"),
    [
        (Comparing(), "Company"),
        (Positional(), "order"),
        (Mixed(), "one scale"),
    ],
)
async def test_a_broken_verifier_is_found(verifier, promise):
    with pytest.raises(ContractError, match=promise):
        await check_verifier(verifier, PROBLEM, trajectories(), Context())


async def test_a_verifier_that_pays_passes_and_is_started():
    ctx, reader = Context(), Reader()
    await check_verifier(reader, PROBLEM, trajectories(), ctx)
    assert reader.started, "and it is not closed"
    assert ctx.settled[0] == Usage(verifier_tokens=3, flops=6.0)
    await check_verifier(reader, PROBLEM, trajectories())


class Overdraws(Reader):
    def settle(self, charge, size):
        charge.settle(Usage(verifier_tokens=size, flops=2.0 * size + 1))


class Twice(Reader):
    def settle(self, charge, size):
        for _ in range(2):
            charge.settle(self.price(size))


class Late(Reader):
    async def one(self, problem, node, ctx):
        async with ctx.work(self.price(3)) as charge:
            pass
        charge.settle(self.price(3))


class Lingers(Reader):
    blocks: ClassVar[list[object]] = []

    async def one(self, problem, node, ctx):
        block = ctx.work(self.price(len(node.text)))
        await block.__aenter__()
        self.blocks.append(block)
        return Score(0.5, "probability")


class AsPolicy(Reader):
    def price(self, tokens):
        return Usage(completion_tokens=tokens)


class Understates(Reader):
    def bound(self, problem, tokens, ctx):
        return Usage(verifier_calls=1)


class Unsettled(Understates):
    """Owes what it leased, without a word."""

    def settle(self, charge, size):
        pass


class Falls(Reader):
    def bound(self, problem, tokens, ctx):
        return self.price(5000 - tokens) + Usage(verifier_calls=1)


class Uncalled(Reader):
    def bound(self, problem, tokens, ctx):
        return self.price(tokens)


@pytest.mark.parametrize(
    ("verifier", "promise"),
    [
        (Overdraws(), "no more flops than its block"),
        (Twice(), "settled once"),
        (Late(), "within its block"),
        (Lingers(), "blocks of `work` are left"),
        (AsPolicy(), "in tokens, FLOPs and dollars"),
        (Understates(), "no more verifier_tokens than `bound`"),
        (Unsettled(), "no more verifier_tokens than `bound`"),
        (Falls(), "never falls"),
        (Uncalled(), "one verifier call"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_verifier_that_cheats_on_its_costs_is_found(verifier, promise):
    with pytest.raises(ContractError, match=promise):
        await check_verifier(verifier, PROBLEM, trajectories())
    for block in Lingers.blocks:
        await block.__aexit__(None, None, None)
    Lingers.blocks.clear()


async def test_work_that_is_not_leased_cannot_be_seen():
    class Secret(Reader):
        async def one(self, problem, node, ctx):
            return (await LengthVerifier.score(self, problem, [node], ctx))[0]

    await check_verifier(Secret(), PROBLEM, trajectories())
