"""What speculative decoding brings: tokens per second with drafted tokens over those without.

Run: `python -m benchmarks.speculative [--json FILE]`. Three engines with the same model side by
side, without drafts, with n-grams, and with a smaller model that drafts; the same requests go to
each in turn, greedily, and must bring the same tokens. Reported is the median of the ratios of
rounds with a bootstrap interval, and the part of the drafted tokens that was accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import tts
from benchmarks.engine_overhead import interval
from tts.backends.vllm import VLLMBackend
from tts.tasks.mini import MiniTask

_MAX_TOKENS = 224


def ways(draft: str, tokens: int) -> Mapping[str, Mapping[str, Any] | None]:
    """The engines by name, the plain one first, with what `engine.speculative` says."""
    return {
        "plain": None,
        "ngram": {"method": "ngram", "tokens": tokens},
        "draft": {"method": "draft", "model": draft, "tokens": tokens},
    }


async def decode(
    backend: VLLMBackend, problems: Sequence[tts.Problem], concurrency: int
) -> tuple[dict[str, str], int, float]:
    """Texts by problem, completion tokens, and seconds."""
    started, tokens, texts = time.perf_counter(), 0, {}
    results = tts.solve_all(
        problems,
        strategy=tts.Greedy(),
        backend=backend,
        concurrency=concurrency,
        max_tokens=_MAX_TOKENS,
    )
    async for result in results:
        tokens += result.usage.completion_tokens
        texts[result.problem_id] = result.best.trajectory.text if result.best else ""
    return texts, tokens, time.perf_counter() - started


def _requests(concurrency: int) -> int:
    """How many a round has: enough to fill the engine twice."""
    return max(4, 2 * concurrency)


def _drafted(backend: VLLMBackend) -> tuple[int, int]:
    """Tokens that were drafted so far, and those of them that were accepted."""
    return backend.stats.draft_tokens, backend.stats.accepted_tokens


async def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Take the engines in turn, for each number of requests in flight."""
    most = _requests(max(options.concurrency))
    problems = [item.problem for item in MiniTask(n_problems=most).items]
    rows = []
    async with AsyncExitStack() as stack:
        backends = {}
        for name, said in ways(options.draft, options.tokens).items():
            backend = VLLMBackend(options.model, {"speculative": said, "kv_cache_gib": 0.5})
            backends[name] = await stack.enter_async_context(backend)
        for concurrency in options.concurrency:
            speeds: dict[str, list[float]] = {name: [] for name in backends}
            before = {name: _drafted(backend) for name, backend in backends.items()}
            for number in range(-1, options.rounds):  # the first round warms up
                names = list(backends)
                turn = names[number % 3 :] + names[: number % 3]
                texts = {}
                for name in turn:
                    texts[name], tokens, seconds = await decode(
                        backends[name], problems[: _requests(concurrency)], concurrency
                    )
                    if number >= 0:
                        speeds[name].append(tokens / seconds)
                if len({json.dumps(found, sort_keys=True) for found in texts.values()}) > 1:
                    raise SystemExit("the engines wrote different answers")
            for name in list(backends)[1:]:
                ratios = [a / b for a, b in zip(speeds[name], speeds["plain"], strict=True)]
                low, high = interval(ratios)
                counts = zip(_drafted(backends[name]), before[name], strict=True)
                drafted, accepted = (now - then for now, then in counts)
                rows.append(
                    {
                        "engine": name,
                        "in flight": concurrency,
                        "ratio": statistics.median(ratios),
                        "interval": [low, high],
                        "tokens per second": statistics.median(speeds[name]),
                        "plain": statistics.median(speeds["plain"]),
                        "accepted": accepted / max(1, drafted),
                    }
                )
    return rows


def main() -> int:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="mini-reasoner-l")
    parser.add_argument("--draft", default="mini-reasoner")
    parser.add_argument("--tokens", type=int, default=3, help="drafted at a time")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = asyncio.run(measure(options))
    for row in rows:
        low, high = row["interval"]
        print(
            f"{row['engine']:6} {row['in flight']:3} in flight: {row['ratio']:.2f}"
            f" [{low:.2f}, {high:.2f}], {row['tokens per second']:,.0f} over {row['plain']:,.0f}"
            f" tokens a second, {row['accepted']:.0%} accepted"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
