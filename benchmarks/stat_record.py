"""What the counts of a step cost in the event loop: ours, and those of vLLM's own exporter.

    python -m benchmarks.stat_record

Both are told of the same steps, made of vLLM's own classes: 64 sequences that go on, and 64 of
which one has ended and one begun. Prints the best of several rounds, in microseconds a step.
"""

from __future__ import annotations

import argparse
import random
import timeit
from typing import Any

from tts.engine.stats import EngineStats, StatLogger

SEQUENCES = 64


def step(ended: int) -> tuple[Any, Any]:
    """What vLLM tells of a step in which some requests end, and as many begin."""
    from vllm.v1.engine import FinishReason
    from vllm.v1.metrics.stats import (
        FinishedRequestStats,
        IterationStats,
        PrefixCacheStats,
        SchedulerStats,
    )

    rng = random.Random(0)
    cache = PrefixCacheStats(requests=ended, queries=40 * ended, hits=32 * ended)
    scheduler = SchedulerStats(
        num_running_reqs=SEQUENCES, kv_cache_usage=0.3, prefix_cache_stats=cache
    )
    found = IterationStats()
    found.num_generation_tokens = SEQUENCES
    found.inter_token_latencies_iter = [rng.random() / 50 for _ in range(SEQUENCES - ended)]
    found.time_to_first_tokens_iter = [rng.random() for _ in range(ended)]
    found.finished_requests = [
        FinishedRequestStats(
            finish_reason=FinishReason.STOP,
            e2e_latency=3 * rng.random(),
            num_prompt_tokens=40,
            num_generation_tokens=90,
            queued_time=rng.random() / 10,
            mean_time_per_output_token=rng.random() / 50,
        )
        for _ in range(ended)
    ]
    return scheduler, found


def loggers() -> dict[str, Any]:
    """Ours, and vLLM's."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.metrics.loggers import PrometheusStatLogger

    from tts.engine.models import resolve_model

    path = resolve_model("mini-reasoner", lambda _: None)
    arguments = AsyncEngineArgs(model=str(path), dtype="float32", max_model_len=512)
    theirs = PrometheusStatLogger(arguments.create_engine_config(), [0])
    return {"tts": StatLogger(EngineStats(requests=1)), "vLLM's exporter": theirs}


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5000, help="in a round")
    asked = parser.parse_args()
    kinds = loggers()
    for ended in (0, 1):
        scheduler, found = step(ended)
        for name, logger in kinds.items():

            def record(logger: Any = logger, s: Any = scheduler, i: Any = found) -> None:
                logger.record(scheduler_stats=s, iteration_stats=i, engine_idx=0)

            best = min(timeit.repeat(record, number=asked.steps, repeat=asked.rounds))
            microseconds = 1e6 * best / asked.steps
            print(f"{SEQUENCES} sequences, {ended} ended: {name} {microseconds:.1f} µs a step")


if __name__ == "__main__":
    main()
