"""Our side: our searches on the mock engine, through the simulated backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tts
from benchmarks._peers.mock import DELIMITER, LAST, TOKENS, Engine, Job, serve
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.protocols import Strategy, VerifierContext
from tts.strategies.async_beam import AsyncBeam
from tts.strategies.beam_search import BeamSearch
from tts.strategies.particle_filter import ParticleFilter


class _Pace(VirtualClock):
    """The backend's clock: a step takes as long as the engine does, which has the slots."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    async def sleep(self, seconds: float) -> None:
        """Decode for so long."""
        await self._engine.decode(seconds)


class _Judge:
    """The engine's reward model as a verifier."""

    requires: frozenset[tts.Capability] = frozenset()
    partial = True

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def identity(self) -> Mapping[str, Any]:
        """Its scores are the engine's."""
        return {"mock": "judge"}

    def bound(self, problem: tts.Problem, tokens: int, ctx: VerifierContext) -> tts.Usage:
        """One call."""
        return tts.Usage(verifier_calls=1)

    async def score(
        self, problem: tts.Problem, trajectories: Sequence[tts.Trajectory], ctx: VerifierContext
    ) -> list[tts.Score]:
        """One score a trajectory."""
        scores = await self._engine.judge([each.text for each in trajectories])
        return [tts.Score(score, "probability") for score in scores]


def _search(job: Job) -> Strategy:
    """The search with our defaults."""
    if job.search == "beam":
        return BeamSearch(n=job.n, width=job.width)
    if job.search == "async_beam":
        return AsyncBeam(n=job.n, width=job.width)
    return ParticleFilter(n=job.n)


def _backend(engine: Engine) -> SimulatedBackend:
    def write(problem: tts.Problem, node: tts.Trajectory, _: int) -> Step:
        step = engine.draw(problem.id, node.depth)
        text = step.text if step.last else step.text + DELIMITER
        return Step(text, TOKENS, final=step.last, seconds=step.seconds)

    return SimulatedBackend(write, clock=_Pace(engine))


async def solve(job: Job, engine: Engine) -> None:
    """Solve the problems of a job."""
    results = tts.solve_all(
        (tts.Problem(name, prompt=name) for name in job.names),
        strategy=_search(job),
        backend=_backend(engine),
        verifier=_Judge(engine),
        concurrency=job.at_once,
        max_tokens=2 * job.steps * TOKENS,
        seed=job.seed,
    )
    async for result in results:
        if result.best is None or LAST not in result.best.trajectory.text:
            raise RuntimeError(f"{result.problem_id} was not solved") from result.error
        engine.solved()


if __name__ == "__main__":
    serve(solve)
