"""Tokens per second of the bundled models: `mini-reasoner` writes, `mini-prm` reads.

Run: `python -m benchmarks.mini_throughput [--json FILE]`, some five minutes on two cores with
nothing beside it. Targets on two cores: 2,500 completion tokens a second with 64 and with 128
samples in flight, through `tts.solve_all` and the backend; 5,000 encoded tokens a second with 64
answers in flight, through `RewardEngine`. In every round vLLM's bare `AsyncLLM` does the same on
the same engine, and who begins alternates, so that what else the machine does hits both: ratios
are of the code, rates are of the machine. Reported are medians over the rounds, with their ranges.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tts
from benchmarks.engine_overhead import bare, through_tts
from tts.backends.vllm import VLLMBackend
from tts.engine import RewardEngine
from tts.tasks.mini import MiniTask
from tts.tasks.mini_problems import LEVELS, generate
from tts.types import Message, Segment

WRITTEN, READ = 2500, 5000
"""Targets in tokens per second."""
_ROUND = 4  # requests, for each one in flight: short, and its thin end is a small part of it

_Side = Callable[[int], Awaitable[tuple[int, float]]]
"""Does a round, told a seed; tokens and seconds."""


@dataclass(frozen=True)
class Contest:
    """Two ways to do the same.

    Attributes:
        name: What is done, and how much at once.
        ours: Through this package.
        bare: With nothing around vLLM.
        target: Of our tokens per second.
    """

    name: str
    ours: _Side
    bare: _Side
    target: float


async def compete(contest: Contest, rounds: int) -> dict[str, Any]:
    """Let both sides take turns, after a round to warm up."""
    ours: list[float] = []
    alone: list[float] = []
    for number in range(-1, rounds):
        found = {}
        for side in (contest.ours, contest.bare) if number % 2 else (contest.bare, contest.ours):
            found[side is contest.ours] = await side(1000 + number)
        if found[True][0] != found[False][0]:
            raise SystemExit(f"{contest.name}: both must do the same, not {found} tokens and s.")
        if number >= 0:
            ours.append(found[True][0] / found[True][1])
            alone.append(found[False][0] / found[False][1])
            print(f"{contest.name}, round {number + 1}: {ours[-1]:,.0f}", file=sys.stderr)
    return {
        "what": contest.name,
        "tokens_per_second": _spread(ours),
        "bare_tokens_per_second": _spread(alone),
        "ratio": _spread([a / b for a, b in zip(ours, alone, strict=True)]),
        "rounds": rounds,
        "target": contest.target,
        "met": statistics.median(ours) >= contest.target,
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


async def written(model: str, in_flight: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Completion tokens per second."""
    rows = []
    async with VLLMBackend(model) as backend:
        llm = await backend.engine.client()
        for slots in in_flight:
            problems = [item.problem for item in MiniTask(n_problems=_ROUND * slots)]
            prompts = {p.id: backend.text.encode(p, tts.Trajectory.root()) for p in problems}
            contest = Contest(
                f"{model} writes, {slots} in flight",
                partial(through_tts, backend, problems, slots),
                partial(bare, llm, prompts, slots),
                WRITTEN,
            )
            rows.append(await compete(contest, rounds))
    return rows


async def read(model: str, slots: int, rounds: int) -> dict[str, Any]:
    """Encoded tokens per second. No row comes from the prefix cache, which is not asked."""
    from vllm import PoolingParams

    async with RewardEngine(model) as engine:
        texts = _answers(engine, _ROUND * slots)
        llm = await engine._engine.client()
        params = PoolingParams(task="token_classify", use_activation=False)

        async def ours(_: int) -> tuple[int, float]:
            async def one(ids: list[int]) -> int:
                rows = await engine.rows(ids)
                assert not rows.cached_tokens
                return len(rows.values)

            return await _at_once(texts, slots, one)

        async def alone(seed: int) -> tuple[int, float]:
            async def one(ids: list[int]) -> int:
                tokens = 0
                name = f"bare-{seed}-{id(ids)}"
                async for output in llm.encode({"prompt_token_ids": ids}, params, name):
                    tokens = len(output.outputs.data)
                return tokens

            return await _at_once(texts, slots, one)

        return await compete(
            Contest(f"{model} reads, {slots} in flight", ours, alone, READ), rounds
        )


def _answers(engine: RewardEngine, count: int) -> list[list[int]]:
    """Worked solutions as the reward model reads them, of all levels alike."""
    found = []
    for i in range(count):
        made = generate(1 + i % len(LEVELS), i, "test")
        problem = tts.Problem(made.id, messages=(Message("user", made.prompt),))
        root = tts.Trajectory.root()
        solved = root.extend(Segment(made.solution, origin="injected"), child=0, clock=0)
        found.append(engine.text.encode(problem, solved))
    return found


async def _at_once(
    texts: Sequence[list[int]], slots: int, one: Callable[[list[int]], Awaitable[int]]
) -> tuple[int, float]:
    free = asyncio.Semaphore(slots)

    async def waiting(ids: list[int]) -> int:
        async with free:
            return await one(ids)

    started = time.perf_counter()
    counts = await asyncio.gather(*(waiting(ids) for ids in texts))
    return sum(counts), time.perf_counter() - started


async def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One engine after the other: they would share the cores."""
    rows = []
    if arguments.model:
        rows += await written(arguments.model, (64, 128), arguments.rounds)
    if arguments.prm:
        rows.append(await read(arguments.prm, 64, arguments.rounds))
    return rows


def main() -> None:
    """Measure and print; with `--json`, write as well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mini-reasoner", help="that writes; '' for none")
    parser.add_argument("--prm", default="mini-prm", help="that reads; '' for none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = asyncio.run(measure(arguments))
    for row in rows:
        rate, ratio = row["tokens_per_second"], row["ratio"]
        print(
            f"{row['what']}: {rate['median']:,.0f} [{rate['low']:,.0f}, {rate['high']:,.0f}] tokens"
            f" a second, {ratio['median']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}] of bare"
            f" vLLM; target {row['target']:,}: {'met' if row['met'] else 'not met'}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
