"""What an idle watcher costs: tokens per second of the bundled engine with and without one.

Run: `python -m benchmarks.watcher_overhead [--json FILE]`. The law: under 3%. Three crews that
hardly ever act: `cap` hears nothing until its cap, `loops` reads every token of every chain, and
`both`. With and without one, the same requests go to the same engine and must bring the same
tokens; sides take turns, and who begins alternates. Reported is the median of the pairwise ratios
with a bootstrap interval.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tts
from benchmarks.engine_overhead import interval
from tts.backends.vllm import VLLMBackend
from tts.protocols import Watcher
from tts.tasks.mini import MiniTask
from tts.trimming import BudgetForcing, Loops

TARGET = 0.97
_MAX_TOKENS = 224
_MOST_ACTS = 0.02
"""Share of chains that may run into the cap; every other one is left alone."""

# The whole answer of a model without tags counts as thinking. Hardly a chain of it repeats forty
# characters three times in a row, or reaches the cap.
THINKING = tts.Thinking(start="", end="", lead="")
IDLE: Mapping[str, tuple[Watcher, ...]] = {
    "cap": (BudgetForcing(maximum=_MAX_TOKENS - 1),),
    "loops": (Loops(),),
    "both": (BudgetForcing(maximum=_MAX_TOKENS - 1), Loops()),
}


async def decode(
    backend: VLLMBackend,
    problems: Sequence[tts.Problem],
    watchers: tuple[Watcher, ...],
    concurrency: int,
    seed: int,
) -> tuple[int, float]:
    """Completion tokens and seconds of one sample a problem."""
    started, tokens, acts = time.perf_counter(), 0, 0
    results = tts.solve_all(
        problems,
        strategy=tts.SelfConsistency(n=1),
        backend=backend,
        concurrency=concurrency,
        max_tokens=_MAX_TOKENS,
        seed=seed,
        watchers=watchers,
        thinking=THINKING,
    )
    async for result in results:
        acts += "watching" in result.details
        tokens += result.usage.completion_tokens
    if acts > _MOST_ACTS * len(problems):
        raise SystemExit(f"it was not idle: it changed {acts} of {len(problems)} chains")
    return tokens, time.perf_counter() - started


async def measure(model: str, pairs: int, requests: int, concurrency: int) -> list[dict[str, Any]]:
    """Alternate both sides on one engine, for each kind of watcher."""
    problems = [item.problem for item in MiniTask(n_problems=requests).items]
    rows = []
    async with VLLMBackend(model) as backend:
        for name, watchers in IDLE.items():
            ratios = []
            for number in range(-1, pairs):  # the first pair warms up
                sides = ((), watchers) if number % 2 else (watchers, ())
                found = {
                    bool(side): await decode(backend, problems, side, concurrency, 1000 + number)
                    for side in sides
                }
                (plain, alone), (watched, beside) = found[False], found[True]
                if plain != watched:
                    raise SystemExit(f"both must write the same: {plain} and {watched} tokens")
                if number >= 0:
                    ratios.append(alone / beside)
                    print(f"{name}, pair {number + 1}: {ratios[-1]:.3f}", file=sys.stderr)
            median = statistics.median(ratios)
            rows.append(
                {
                    "watcher": name,
                    "model": model,
                    "requests": requests,
                    "concurrency": concurrency,
                    "pairs": pairs,
                    "ratio_median": median,
                    "ratio_interval": list(interval(ratios)),
                    "target": TARGET,
                    "met": median >= TARGET,
                    "ratios": ratios,
                }
            )
    return rows


def main() -> None:
    """Measure and print; with `--json`, write as well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mini-reasoner")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--requests", type=int, default=256, help="in each run")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = asyncio.run(measure(given.model, given.pairs, given.requests, given.concurrency))
    for row in rows:
        low, high = row["ratio_interval"]
        print(
            f"{row['watcher']}, watched / unwatched: {row['ratio_median']:.3f}"
            f" [{low:.3f}, {high:.3f}] over {row['pairs']} pairs; target {TARGET}:"
            f" {'met' if row['met'] else 'not met'}"
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
