"""A verifier that asks a model."""

from __future__ import annotations

from dataclasses import dataclass

from tts.types import Request, Score, Trajectory, Usage


@dataclass(frozen=True)
class Asks:
    """Has the model say five tokens on each answer, and likes longer answers better."""

    requires: frozenset = frozenset()
    partial: bool = False

    def identity(self):
        return {"verifier": "asks"}

    def bound(self, problem, tokens, ctx):
        return Usage(verifier_calls=1, verifier_tokens=1000)

    async def score(self, problem, trajectories, ctx):
        for _ in trajectories:
            async with ctx.backend.open(
                Request(problem, Trajectory.root(), max_tokens=5)
            ) as stream:
                async for _ in stream:
                    pass
        return [Score(float(len(t.text)), "reward") for t in trajectories]
