"""Tokens per second of a batch on the bundled engine, against vLLM's bare `AsyncLLM`.

Run: `python -m benchmarks.batch_throughput [--json FILE]`. The target: at least 0.95 of the bare
engine with 64 requests in flight. Our side is all that a sitting of `tts batch` does: the file is
read and checked, a folder is opened, and each request is solved, graded and recorded; the other
side sends the same requests to the same engine and keeps nothing. Both must get the same number of
tokens back; they take turns, and who begins alternates. Reported is the median of the pairwise
ratios with a bootstrap interval.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tts
from benchmarks.engine_overhead import bare, interval
from tts.backends.vllm import VLLMBackend
from tts.evaluation import Arm, Names, Store, evaluate
from tts.solve import Setup
from tts.tasks import RequestsTask
from tts.tasks.mini import MiniTask

TARGET = 0.95
_MAX_TOKENS = 200  # as the bare side asks for
_NAMES = Names(strategy_name="self_consistency", task="in", model="", backend="vllm")


def write(path: Path, requests: int) -> None:
    """Write problems of the task `mini` as requests."""
    with path.open("w") as file:
        for item in MiniTask(n_problems=requests).items:
            turns = [{"role": m.role, "content": m.content} for m in item.problem.messages]
            row = {"id": item.problem.id, "messages": turns, "answer": item.gold}
            file.write(json.dumps(row) + "\n")


async def sitting(
    backend: VLLMBackend, folder: Path, concurrency: int, seed: int
) -> tuple[int, float]:
    """Completion tokens and seconds of a whole sitting in a folder of its own."""
    started = time.perf_counter()
    task = RequestsTask(folder / "in.jsonl", max_tokens=_MAX_TOKENS)
    setup = Setup(
        strategy=tts.SelfConsistency(n=1),
        backend=backend,
        answers=task.answers,
        max_tokens=_MAX_TOKENS,
        seed=seed,
    )
    arm = Arm("batch", setup, _NAMES, keep="nothing", open_ended=True)
    with Store(folder / str(seed), {arm.label: arm.expected(task)}, lasting=True) as store:
        row = await evaluate(task, arm, store=store, concurrency=concurrency)
    if row.n_failed:
        raise SystemExit(f"{row.n_failed} requests failed")
    return row.completion_tokens, time.perf_counter() - started


async def measure(
    model: str, pairs: int, requests: int, concurrency: int, folder: Path
) -> dict[str, Any]:
    """Alternate both sides on one engine."""
    write(folder / "in.jsonl", requests)
    ratios, rates = [], []
    async with VLLMBackend(model) as backend:
        llm = await backend.engine.client()
        root = tts.Trajectory.root()
        problems = [item.problem for item in RequestsTask(folder / "in.jsonl")]
        prompts = {p.id: backend.text.encode(p, root) for p in problems}
        for number in range(-1, pairs):  # the first pair warms up
            outcome: dict[bool, tuple[int, float]] = {}
            for ours in (False, True) if number % 2 else (True, False):
                if ours:
                    outcome[ours] = await sitting(backend, folder, concurrency, 1000 + number)
                else:
                    outcome[ours] = await bare(llm, prompts, concurrency, 1000 + number)
            (tokens, alone), (same, batch) = outcome[False], outcome[True]
            if tokens != same:
                raise SystemExit(f"both sides must do the same: {tokens} and {same} tokens")
            if number >= 0:
                ratios.append(alone / batch)
                rates.append((tokens / alone, tokens / batch))
                print(f"pair {number + 1}: {alone / batch:.3f}", file=sys.stderr)
    median = statistics.median(ratios)
    return {
        "model": model,
        "requests": requests,
        "concurrency": concurrency,
        "pairs": pairs,
        "ratio_median": median,
        "ratio_interval": list(interval(ratios)),
        "target": TARGET,
        "met": median >= TARGET,
        "bare_tokens_per_second": statistics.median(rate for rate, _ in rates),
        "batch_tokens_per_second": statistics.median(rate for _, rate in rates),
        "ratios": ratios,
    }


def main() -> None:
    """Measure and print; with `--json`, write as well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="mini-reasoner")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--requests", type=int, default=256, help="in each run")
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        row = asyncio.run(
            measure(given.model, given.pairs, given.requests, given.concurrency, Path(name))
        )
    low, high = row["ratio_interval"]
    print(
        f"batch / bare: {row['ratio_median']:.3f} [{low:.3f}, {high:.3f}] over {row['pairs']} pairs"
        f" ({row['batch_tokens_per_second']:,.0f} and {row['bare_tokens_per_second']:,.0f}"
        f" tokens/s); target {TARGET}: {'met' if row['met'] else 'not met'}"
    )
    if given.json:
        given.json.write_text(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
