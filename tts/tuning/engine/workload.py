"""A workload as a trial sees it: how problems are solved, and by which engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tts.engine import Engine
from tts.errors import BackendError
from tts.solve import Setup, solve_all
from tts.tuning.engine.readings import Reading, name_of
from tts.types import Problem


@dataclass(frozen=True, slots=True)
class Workload:
    """What is solved, and how.

    Attributes:
        setup: How problems are solved.
        engine: The one that decodes for it.
        concurrency: Most problems in flight, at least 1.
    """

    setup: Setup
    engine: Engine
    concurrency: int


Maker = Callable[[Mapping[str, Any]], Workload]
"""Makes the workload with an engine of given settings; can be pickled."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a task was not done.

    Attributes:
        reason: In a sentence.
        infeasible: Whether the settings cannot be used at all.
    """

    reason: str
    infeasible: bool


async def measure(workload: Workload, problems: Sequence[Problem]) -> Reading:
    """Solve problems side by side, with an empty prefix cache in the beginning.

    Args:
        workload: Started.
        problems: At least one.

    Raises:
        BackendError: A problem failed.
    """
    setup = workload.setup
    options = {each.name: getattr(setup, each.name) for each in fields(setup)}
    client = await workload.engine.client()
    await client.reset_prefix_cache()
    tokens, latencies, answers = 0, [], {}
    started = time.perf_counter()
    async for result in solve_all(problems, concurrency=workload.concurrency, **options):
        if result.error is not None:
            raise BackendError(f"Problem {result.problem_id!r} failed: {result.error}")
        tokens += result.usage.completion_tokens
        latencies.append(result.usage.seconds)
        answers[name_of(result.problem_id, result.repeat)] = result.answer
    return Reading(time.perf_counter() - started, tokens, tuple(latencies), answers)
