"""Requests per second of the core on a zero-latency simulated backend, on one core.

Run: `python benchmarks/core_overhead.py [--json FILE]`. Two laws: the core handles at least 10,000
requests a second, and no cost grows faster than the number of requests, along two axes: many
problems, and many samples of one problem (with a budget that makes requests wait in line, too).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path

import tts
from tts.backends.simulated import SimulatedBackend, Step


def _backend() -> SimulatedBackend:
    return SimulatedBackend(lambda problem, node, seed: Step(f"\\boxed{{{seed % 5}}}", 20))


async def _run(problems: int, samples: int, budget: tts.Budget | None) -> float:
    """Requests per second for `samples` of each of `problems`."""
    source = (tts.Problem(f"p{i}", prompt="?") for i in range(problems))
    started, calls = time.perf_counter(), 0
    results = tts.solve_all(
        source,
        strategy=tts.SelfConsistency(n=samples),
        backend=_backend(),
        budget=budget,
        max_tokens=64,
    )
    async for result in results:
        calls += result.usage.calls
    return calls / (time.perf_counter() - started)


def measure(problems: int, samples: int, *, tight: bool, rounds: int) -> dict[str, float | str]:
    """Median requests per second over some rounds, with the range."""
    budget = tts.Budget(completion_tokens=samples * 20 + 64) if tight else None
    rates = [asyncio.run(_run(problems, samples, budget)) for _ in range(rounds)]
    return {
        "problems": problems,
        "samples": samples,
        "budget": "tight" if tight else "none",
        "requests_per_second": statistics.median(rates),
        "low": min(rates),
        "high": max(rates),
    }


def main() -> None:
    """Measure and print; with `--json`, write as well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    shapes = [(500, 8), (5000, 8), (40, 100), (4, 1000), (1, 10000)]
    rows = [
        measure(problems, samples, tight=tight, rounds=arguments.rounds)
        for tight in (False, True)
        for problems, samples in shapes
    ]
    for row in rows:
        print(
            ", ".join(
                f"{k} {v:,.0f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()
            )
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
