"""its_hub's side: its own searches on the mock engine, through its own interfaces.

Run by its own interpreter (see `benchmarks.peers`), which has nothing of this project but
`benchmarks._peers.mock`. Problems side by side are its `ainfer` under `asyncio.gather`, the widest
that it goes. A batch of steps is decoded side by side and judged in one call, as its searches ask.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from its_hub.api import AbstractLanguageModel, AbstractProcessRewardModel  # type: ignore[import-not-found]
from its_hub.core.algorithms.beam_search import BeamSearch  # type: ignore[import-not-found]
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering  # type: ignore[import-not-found]
from its_hub.core.lms.step_generation import StepGeneration  # type: ignore[import-not-found]

from benchmarks._peers.mock import DELIMITER, LAST, Engine, Job, serve


class _Model(AbstractLanguageModel):  # type: ignore[misc]
    """The engine as its language model."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def agenerate(self, messages: Any, stop: str | None = None, **_: Any) -> list[Any]:
        """The next steps of a batch of conversations."""
        return await asyncio.gather(*(self._step(turns) for turns in messages))

    async def _step(self, turns: Sequence[Any]) -> dict[str, str]:
        written = turns[1].content if len(turns) > 1 else ""
        step = self._engine.draw(turns[0].content, written.count(DELIMITER))
        await self._engine.decode(step.seconds)
        return {"role": "assistant", "content": step.text}


class _Judge(AbstractProcessRewardModel):  # type: ignore[misc]
    """The engine's reward model as its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def score(self, prompt: Any, steps: list[str]) -> list[float]:
        """Not used by `ainfer`."""
        raise NotImplementedError

    async def ascore(self, prompt: Any, steps: list[str]) -> list[float]:
        """Scores of a batch of partial answers, as one call."""
        return await self._engine.judge(steps)


def _search(job: Job, engine: Engine) -> Any:
    """Its search; its beam counts the beams that are kept, ours the steps drawn from each."""
    steps = StepGeneration(max_steps=2 * job.steps, step_token=DELIMITER, stop_token=LAST)
    if job.search == "beam":
        return BeamSearch(steps, _Judge(engine), beam_width=job.n // job.width)
    return ParticleFiltering(steps, _Judge(engine))


async def solve(job: Job, engine: Engine) -> None:
    """Solve the problems of a job."""
    random.seed(job.seed)  # from which it resamples
    search, model = _search(job, engine), _Model(engine)
    places = asyncio.Semaphore(job.at_once)

    async def one(problem: str) -> None:
        async with places:
            answer = await search.ainfer(model, problem, budget=job.n)
        if LAST not in answer["content"]:
            raise RuntimeError(f"{problem} was not solved")
        engine.solved()

    await asyncio.gather(*map(one, job.names))


if __name__ == "__main__":
    serve(solve)
