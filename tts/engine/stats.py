"""What the engine says of itself, counted step by step.

The counts are vLLM's, made as each step's output arrives. Tokens of a step that was in flight when
its request was aborted are dropped by vLLM before anyone can count them: at most one a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class EngineStats:
    """Counters since the first start, restarts included; gauges of the last step.

    Attributes:
        requests: Requests in flight: sent, and not yet ended.
        running: Sequences being decoded.
        waiting: Requests that wait for a slot.
        cache_usage: Part of the KV cache in use, 0 to 1.
        steps: Steps that produced tokens.
        generation_tokens: Tokens generated.
        prompt_tokens: Prompt tokens of requests that were prefilled, cached ones included.
        cached_tokens: The part of them that came from the prefix cache.
        preemptions: Sequences thrown out of a full KV cache, to be computed again.
        restarts: Times that the engine was started again after it had died.
    """

    requests: int = 0
    running: int = 0
    waiting: int = 0
    cache_usage: float = 0.0
    steps: int = 0
    generation_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    preemptions: int = 0
    restarts: int = 0


class StatLogger:
    """Feeds `EngineStats`; has the methods that vLLM calls on a stat logger."""

    def __init__(self, stats: EngineStats) -> None:
        self._stats = stats

    def record(self, scheduler_stats: Any = None, iteration_stats: Any = None, **_: Any) -> None:
        """Called by vLLM in the event loop after every step."""
        stats = self._stats
        # After an abort the news of the step that was in flight arrives last; no step follows it.
        if scheduler_stats is not None and stats.requests:
            stats.running = scheduler_stats.num_running_reqs
            stats.waiting = scheduler_stats.num_waiting_reqs
            stats.cache_usage = scheduler_stats.kv_cache_usage
        if iteration_stats is not None:
            prompts = iteration_stats.prompt_token_stats
            stats.steps += 1
            stats.generation_tokens += iteration_stats.num_generation_tokens
            stats.prompt_tokens += prompts.total
            stats.cached_tokens += prompts.cached_tokens
            stats.preemptions += iteration_stats.num_preempted_reqs

    def log(self, *_: Any, **__: Any) -> None:
        """Nothing to say."""

    log_engine_initialized = record_sleep_state = record_admission_rejection = log


def logger_factory(stats: EngineStats) -> Any:
    """What vLLM is given to make its stat logger from.

    vLLM adds a Prometheus exporter of its own unless it is given one; nobody would read it here,
    and it takes a sixth of the time that the engine's front end costs. So ours is one by name, with
    none of its work.
    """
    from vllm.v1.metrics.loggers import PrometheusStatLogger

    def make(self: StatLogger, **_: Any) -> None:
        StatLogger.__init__(self, stats)

    return type("CountingStatLogger", (StatLogger, PrometheusStatLogger), {"__init__": make})
