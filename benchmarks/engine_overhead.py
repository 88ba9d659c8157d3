"""Tokens per second of `tts.solve_all` through the bundled engine, against vLLM's bare `AsyncLLM`.

Run: `python benchmarks/engine_overhead.py [--json FILE]`. The law: at least nine tenths of the bare
engine with 64 samples in flight. Both sides send the same requests (token ids, sampling, seeds, one
final output) to the same engine and must get the same number of tokens back; they take turns, and
who begins alternates, so that what else the machine does hits both. Reported is the median of the
pairwise ratios with a bootstrap interval; absolute rates are of this machine only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tts
from tts.backends.vllm import VLLMBackend
from tts.seeds import derive
from tts.tasks.mini import MiniTask

TARGET = 0.9
_MAX_TOKENS = 200


async def through_tts(
    backend: VLLMBackend, problems: Sequence[tts.Problem], concurrency: int, seed: int
) -> tuple[int, float]:
    """Completion tokens and seconds of one sample a problem with `solve_all`."""
    started, tokens = time.perf_counter(), 0
    results = tts.solve_all(
        problems,
        strategy=tts.SelfConsistency(n=1),
        backend=backend,
        concurrency=concurrency,
        max_tokens=_MAX_TOKENS,
        seed=seed,
    )
    async for result in results:
        tokens += result.usage.completion_tokens
    return tokens, time.perf_counter() - started


async def bare(
    llm: Any, prompts: dict[str, list[int]], concurrency: int, seed: int
) -> tuple[int, float]:
    """The same with nothing around vLLM but a semaphore."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    slots = asyncio.Semaphore(concurrency)
    root = tts.Trajectory.root().key

    async def one(name: str, ids: list[int]) -> int:
        params = SamplingParams(
            temperature=tts.Sampling().temperature,
            max_tokens=_MAX_TOKENS,
            seed=derive(seed, name, 0, root, 0),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        tokens = 0
        async with slots:
            async for output in llm.generate(
                {"prompt_token_ids": ids}, params, f"bare-{name}-{seed}"
            ):
                tokens = len(output.outputs[0].token_ids)
        return tokens

    started = time.perf_counter()
    counts = await asyncio.gather(*(one(name, ids) for name, ids in prompts.items()))
    return sum(counts), time.perf_counter() - started


def interval(values: Sequence[float], draws: int = 10_000) -> tuple[float, float]:
    """Bootstrap interval of the median, 95%."""
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(draws))
    return medians[round(0.025 * draws)], medians[round(0.975 * draws) - 1]


async def measure(model: str, pairs: int, requests: int, concurrency: int) -> dict[str, Any]:
    """Alternate both sides on one engine."""
    problems = [item.problem for item in MiniTask(n_problems=requests).items]
    ratios, rates = [], []
    async with VLLMBackend(model) as backend:
        llm = await backend.engine.client()
        root = tts.Trajectory.root()
        prompts = {p.id: backend.text.encode(p, root) for p in problems}
        for number in range(-1, pairs):  # the first pair warms up
            seed = 1000 + number
            order = (0, 1) if number % 2 else (1, 0)
            outcome: dict[int, tuple[int, float]] = {}
            for side in order:
                if side:
                    outcome[side] = await through_tts(backend, problems, concurrency, seed)
                else:
                    outcome[side] = await bare(llm, prompts, concurrency, seed)
            (tokens, alone), (same, ours) = outcome[0], outcome[1]
            if tokens != same:
                raise SystemExit(f"both sides must do the same: {tokens} and {same} tokens")
            if number >= 0:
                ratios.append(alone / ours)
                rates.append((tokens / alone, tokens / ours))
                print(f"pair {number + 1}: {alone / ours:.3f}", file=sys.stderr)
    low, high = interval(ratios)
    return {
        "model": model,
        "requests": requests,
        "concurrency": concurrency,
        "pairs": pairs,
        "ratio_median": statistics.median(ratios),
        "ratio_interval": [low, high],
        "target": TARGET,
        "met": statistics.median(ratios) >= TARGET,
        "bare_tokens_per_second": statistics.median(rate for rate, _ in rates),
        "tts_tokens_per_second": statistics.median(rate for _, rate in rates),
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
    arguments = parser.parse_args()
    row = asyncio.run(
        measure(arguments.model, arguments.pairs, arguments.requests, arguments.concurrency)
    )
    low, high = row["ratio_interval"]
    print(
        f"tts / bare: {row['ratio_median']:.3f} [{low:.3f}, {high:.3f}] over {row['pairs']} pairs"
        f" ({row['tts_tokens_per_second']:,.0f} and {row['bare_tokens_per_second']:,.0f} tokens/s);"
        f" target {TARGET}: {'met' if row['met'] else 'not met'}"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
