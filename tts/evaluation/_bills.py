"""Verifiers in a rehearsal: they judge by chance, and cost what they have said they may cost.

A verifier cannot judge what nobody has written. What it would have cost is charged all the same, be
it for questions to a backend or for a model of its own, and neither of them is started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tts.protocols import Backend, Verifier, VerifierContext
from tts.types import Capability, Problem, Score, Trajectory, Usage


@dataclass(frozen=True)
class RehearsedVerifier:
    """Stands in for a verifier.

    Args:
        inner: The real one; asked for its requirements and bounds.
        policy: Counts what is to be judged.
        tokens: What a judgement has cost on average, in verifier tokens; its bound if None.
    """

    inner: Verifier
    policy: Backend
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
        return self.inner.bound(problem, tokens, ctx)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """A probability by chance for each, paid like a judgement."""
        scores = []
        for node in trajectories:
            length = self.policy.prompt_tokens(problem, node)
            cost = self._expected(self.bound(problem, length, ctx))
            async with ctx.work(cost) as charge:
                charge.settle(cost)
            scores.append(Score(ctx.rng("rehearsed", node.key).random(), "probability"))
        return scores

    def _expected(self, bound: Usage) -> Usage:
        bound = replace(bound, verifier_calls=0)  # booked by whoever asks for the judgement
        if self.tokens is None or not bound.verifier_tokens:
            return bound
        share = min(1.0, self.tokens / bound.verifier_tokens)
        tokens = round(share * bound.verifier_tokens)
        return replace(
            bound, verifier_tokens=tokens, flops=share * bound.flops, usd=share * bound.usd
        )
