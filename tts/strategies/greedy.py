"""Greedy decoding: the reference at the cost of one answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tts.protocols import Env
from tts.strategies._common import generate
from tts.types import Capability, Problem, Result, Trajectory


@dataclass(frozen=True)
class Greedy:
    """One answer, at each token the likeliest."""

    requires: frozenset[Capability] = frozenset()

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Decode one answer at temperature 0."""
        request = env.request(Trajectory.root(), 0)
        trajectory = await generate(env, replace(request, sampling=request.sampling.greedy()))
        candidate = await env.candidate(trajectory)
        env.publish(candidate)
        return Result(problem.id, candidate, (candidate,))
