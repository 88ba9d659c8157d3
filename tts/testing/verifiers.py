"""The contract of verifiers."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Hashable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tts.protocols import (
    AnswerFormat,
    Backend,
    Charge,
    Startable,
    Verifier,
    VerifierContext,
)
from tts.seeds import derive
from tts.tasks.answers import MathAnswers
from tts.testing.promises import beyond, check_identity, require
from tts.testing.worlds import World
from tts.types import (
    Problem,
    Score,
    Trajectory,
    Usage,
)


async def check_verifier(
    verifier: Verifier,
    problem: Problem,
    trajectories: Sequence[Trajectory],
    ctx: VerifierContext | None = None,
) -> None:
    """Check a verifier against the promises of `tts.protocols.Verifier`.

    What it owes through `ctx.work` is compared with its bounds. Work that it does outside of any
    block of `ctx.work` cannot be seen from here.

    Args:
        verifier: To be checked; started if it must be, and not closed.
        problem: What the trajectories answer.
        trajectories: At least two, different ones.
        ctx: What the verifier may touch; by default a simulated model, which costs nobody.

    Raises:
        ContractError: A promise is broken; the message says which.
    """
    check_identity(verifier)
    if isinstance(verifier, Startable):
        await verifier.start()
    counting = _Counting(ctx or FreeContext(World().backend()))
    _check_bounds(verifier, problem, counting)
    await _check_scores(verifier, problem, trajectories, counting)
    for trajectory in trajectories:
        await _check_cost(verifier, problem, trajectory, counting)


def _check_bounds(verifier: Verifier, problem: Problem, ctx: VerifierContext) -> None:
    bounds = [verifier.bound(problem, tokens, ctx) for tokens in (1, 10, 100, 1000)]
    require(all(b.verifier_calls == 1 for b in bounds), "A judgement is one verifier call.")
    require(
        all(not beyond(low, high) for low, high in pairwise(bounds)),
        "`bound` never falls with the tokens.",
    )


async def _check_cost(
    verifier: Verifier, problem: Problem, trajectory: Trajectory, ctx: _Counting
) -> None:
    """A judgement costs no more than is said of an answer with a token a byte, and then some."""
    before = ctx.paid
    await verifier.score(problem, [trajectory], ctx)
    asked = problem.prompt + "".join(message.content for message in problem.messages)
    size = len((asked + trajectory.text).encode())
    written = sum(len(segment.tokens or ()) for segment in trajectory.segments())
    excess = beyond(ctx.paid, before + verifier.bound(problem, size + written, ctx))
    require(not excess, f"A judgement costs no more {excess} than `bound` says.")


async def _check_scores(
    verifier: Verifier, problem: Problem, trajectories: Sequence[Trajectory], ctx: _Counting
) -> None:
    scores = await verifier.score(problem, trajectories, ctx)
    require(ctx.open == 0, "All blocks of `work` are left when the scores are there.")
    require(len(scores) == len(trajectories), "There is one score a trajectory.")
    require(all(isinstance(s, Score) for s in scores), "A score is a `Score`.")
    require(len({s.scale for s in scores}) == 1, "All scores are on one scale.")
    require(all(math.isfinite(s.raw) for s in scores), "A score is a finite number.")
    backwards = await verifier.score(problem, list(reversed(trajectories)), ctx)
    require(
        [s.raw for s in reversed(backwards)] == [s.raw for s in scores],
        "Each trajectory is judged by itself: the order changes nothing.",
    )
    alone = [(await verifier.score(problem, [t], ctx))[0].raw for t in trajectories]
    require(alone == [s.raw for s in scores], "Company changes no score.")
    require(await verifier.score(problem, [], ctx) == [], "No trajectories, no scores.")


@dataclass
class _Counting:
    """A context that looks at what a verifier does with another one.

    Attributes:
        inner: The other one.
        paid: What was owed through `work`.
        open: Blocks of `work` that are open.
    """

    inner: VerifierContext
    paid: Usage = Usage()
    open: int = 0

    @property
    def backend(self) -> Backend:
        """That of the other context."""
        return self.inner.backend

    @property
    def answers(self) -> AnswerFormat:
        """That of the other context."""
        return self.inner.answers

    @property
    def memory(self) -> MutableMapping[Hashable, Any]:
        """That of the other context."""
        return self.inner.memory

    @asynccontextmanager
    async def work(self, bound: Usage) -> AsyncIterator[Charge]:
        """A block that is counted, with what it owes."""
        require(_in_verifier_terms(bound), "A bound of `work` is in tokens, FLOPs and dollars.")
        async with self.inner.work(bound) as inner:
            charge = _Charge(inner, bound)
            self.open += 1
            try:
                yield charge
            finally:
                self.open -= 1
                self.paid += charge.leave()

    def rng(self, *names: Hashable) -> random.Random:
        """That of the other context."""
        return self.inner.rng(*names)


def _in_verifier_terms(usage: Usage) -> bool:
    return usage == Usage(verifier_tokens=usage.verifier_tokens, flops=usage.flops, usd=usage.usd)


@dataclass
class _Charge:
    """What is owed for one block of work: the bound until it is settled."""

    inner: Charge
    bound: Usage
    settled: Usage | None = None
    left: bool = False

    def settle(self, usage: Usage) -> None:
        """Look at what is owed, and pass it on."""
        require(not self.left, "Work is settled within its block.")
        require(self.settled is None, "Work is settled once.")
        require(_in_verifier_terms(usage), "Work is settled in tokens, FLOPs and dollars.")
        excess = beyond(usage, self.bound)
        require(not excess, f"Work costs no more {excess} than its block was leased for.")
        self.settled = usage
        self.inner.settle(usage)

    def leave(self) -> Usage:
        """The block is left; what it owes."""
        self.left = True
        return self.bound if self.settled is None else self.settled


@dataclass(frozen=True)
class FreeContext:
    """A context in which nothing is paid for: a model to ask, and chance."""

    backend: Backend
    answers: AnswerFormat = MathAnswers()
    memory: dict[Hashable, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def work(self, bound: Usage) -> AsyncIterator[Charge]:
        """A block for which nobody asks anything."""
        yield self

    def settle(self, usage: Usage) -> None:
        """Let it go."""

    def rng(self, *names: Hashable) -> random.Random:
        """A random stream of its own for `names`."""
        return random.Random(derive(0, *names))
