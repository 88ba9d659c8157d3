"""Verifiers in a rehearsal: they judge by chance, and cost what they have said they may cost.

A verifier cannot judge what nobody has written. What it would have asked of a model is charged all
the same, as a bill that the verifier's own backend settles.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from tts.protocols import Backend, Charge, Stream, Verifier, VerifierContext
from tts.types import (
    Capability,
    Chunk,
    ModelInfo,
    Problem,
    Request,
    Score,
    Segment,
    Trajectory,
    Usage,
)


@dataclass(frozen=True, slots=True)
class _Bill(Problem):
    """Something that costs a known amount and is not worked out."""

    cost: Usage = field(default=Usage())


@dataclass(frozen=True)
class Till:
    """The verifier's backend: settles bills, and passes on all other requests.

    Args:
        inner: The backend that the verifier would have asked.
    """

    inner: Backend

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Those of the inner backend."""
        return self.inner.capabilities

    @property
    def model(self) -> ModelInfo:
        """The inner model without prices and limits: a bill names its cost itself."""
        return ModelInfo(self.inner.model.name, tokenizer=self.inner.model.tokenizer)

    def identity(self) -> Mapping[str, Any]:
        """That of the inner backend."""
        return self.inner.identity()

    def prompt_tokens(self, problem: Problem, trajectory: Trajectory) -> int:
        """As the inner backend counts them; of a bill all but the one that is generated."""
        if isinstance(problem, _Bill):
            return problem.cost.verifier_tokens - 1
        return self.inner.prompt_tokens(problem, trajectory)

    def open(self, request: Request) -> AbstractAsyncContextManager[Stream]:
        """Settle a bill, or ask the inner backend."""
        if isinstance(request.problem, _Bill):
            return _Paid(request, request.problem.cost)
        return self.inner.open(request)

    async def start(self) -> None:
        """Nothing to start."""

    async def aclose(self) -> None:
        """Nothing to release."""


class _Paid:
    """The stream of a bill: no text, and its cost."""

    def __init__(self, request: Request, cost: Usage) -> None:
        self._request = request
        # The meter turns it into verifier tokens.
        self.usage = Usage(prompt_tokens=cost.verifier_tokens, flops=cost.flops, usd=cost.usd)

    @property
    def trajectory(self) -> Trajectory:
        """Nothing was written."""
        return self._request.trajectory.extend(Segment(""), child=0, clock=0, finish="stop")

    async def __aenter__(self) -> _Paid:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to end."""

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        yield Chunk("", finish="stop")


@dataclass(frozen=True)
class _Quotes:
    """The context in which a verifier works out its bound: real prices, nothing to spend."""

    backend: Backend
    ctx: VerifierContext

    def work(self, bound: Usage) -> AbstractAsyncContextManager[Charge]:
        """As in the run."""
        return self.ctx.work(bound)

    def rng(self, *names: Hashable) -> random.Random:
        """As in the run."""
        return self.ctx.rng(*names)


@dataclass(frozen=True)
class RehearsedVerifier:
    """Stands in for a verifier.

    Args:
        inner: The real one; asked for its requirements and bounds.
        policy: Counts what is to be judged.
        judge: The backend that the real one would ask, with its prices.
        tokens: What a judgement has cost on average, in verifier tokens; its bound if None.
    """

    inner: Verifier
    policy: Backend
    judge: Backend
    tokens: float | None = None

    @property
    def requires(self) -> frozenset[Capability]:
        """As the real one."""
        return self.inner.requires

    @property
    def partial(self) -> bool:
        """As the real one."""
        return self.inner.partial

    def identity(self) -> Mapping[str, Any]:
        """As the real one."""
        return self.inner.identity()

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """As the real one."""
        return self.inner.bound(problem, tokens, _Quotes(self.judge, ctx))

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """A probability by chance for each, paid like a judgement."""
        scores = []
        for node in trajectories:
            length = self.policy.prompt_tokens(problem, node)
            cost = self._expected(self.bound(problem, length, ctx))
            if cost.verifier_tokens:
                bill = Request(
                    _Bill("bill", prompt="-", cost=cost), Trajectory.root(), max_tokens=1
                )
                async with ctx.backend.open(bill):
                    pass
            scores.append(Score(ctx.rng("rehearsed", node.key).random(), "probability"))
        return scores

    def _expected(self, bound: Usage) -> Usage:
        if self.tokens is None or not bound.verifier_tokens:
            return bound
        share = min(1.0, self.tokens / bound.verifier_tokens)
        tokens = round(share * bound.verifier_tokens)
        return replace(
            bound, verifier_tokens=tokens, flops=share * bound.flops, usd=share * bound.usd
        )
