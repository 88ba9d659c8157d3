"""What the engine says of itself, counted step by step.

The counts are vLLM's, made as each step's output arrives, but for how requests ended, which is told
by whoever waits for them: vLLM does not count those that were aborted. Tokens of a step that was in
flight when its request was aborted are dropped by vLLM before anyone can count them: at most one a
request. All this happens in the event loop that requests live in, so it is kept short: durations
are taken once a request, not once a token.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tts.engine.histogram import Histogram


@dataclass(slots=True)
class EngineStats:
    """Counters since the first start, restarts included; gauges of the last step.

    Attributes:
        requests: Requests in flight: sent, and not yet ended.
        held: Requests that wait to be sent, because the engine is paused or asleep.
        running: Sequences being decoded; while the engine is paused those that stand still.
        waiting: Requests that wait for a slot.
        cache_usage: Part of the KV cache in use, 0 to 1.
        steps: Steps that produced tokens.
        generation_tokens: Tokens generated.
        prompt_tokens: Prompt tokens of requests that were prefilled, cached ones included.
        cached_tokens: The part of them that came from the prefix cache.
        cache_queries: Tokens that were looked up in the prefix cache when their requests were first
            scheduled; those that may not read it are none of them.
        cache_hits: The part of them that was found.
        preemptions: Sequences thrown out of a full KV cache, to be computed again.
        drafts: Times that tokens were drafted, with speculative decoding.
        draft_tokens: Tokens drafted.
        accepted_tokens: The part of them that the model agreed with.
        finished: Requests that have ended, by vLLM's reason: stop, length, abort, error,
            repetition.
        restarts: Times that the engine was started again after it had died.
        first_token: Seconds from a request's arrival to its first token.
        output_token: Mean seconds from one token of an answer to the next, one an answer.
        latency: Seconds from a request's arrival to its end.
        queued: Seconds that a request waited for a slot.
    """

    requests: int = 0
    held: int = 0
    running: int = 0
    waiting: int = 0
    cache_usage: float = 0.0
    steps: int = 0
    generation_tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cache_queries: int = 0
    cache_hits: int = 0
    preemptions: int = 0
    drafts: int = 0
    draft_tokens: int = 0
    accepted_tokens: int = 0
    finished: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    first_token: Histogram = field(default_factory=Histogram)
    output_token: Histogram = field(default_factory=Histogram)
    latency: Histogram = field(default_factory=Histogram)
    queued: Histogram = field(default_factory=Histogram)

    @property
    def hit_rate(self) -> float:
        """Part of the tokens that were looked up in the prefix cache and found; 0 if none were."""
        return self.cache_hits / self.cache_queries if self.cache_queries else 0.0

    @property
    def acceptance(self) -> float | None:
        """Part of the drafted tokens that were accepted; None if none were drafted."""
        return self.accepted_tokens / self.draft_tokens if self.draft_tokens else None


class StatLogger:
    """Feeds `EngineStats`; has the methods that vLLM calls on a stat logger."""

    def __init__(self, stats: EngineStats) -> None:
        self._stats = stats
        self._replicas: dict[int, tuple[int, int, float]] = {}

    def record(
        self,
        scheduler_stats: Any = None,
        iteration_stats: Any = None,
        engine_idx: int = 0,
        **_: Any,
    ) -> None:
        """Called by vLLM in the event loop after every step."""
        stats = self._stats
        if scheduler_stats is not None:
            # After an abort the news of the step that was in flight arrives last; no step follows.
            if stats.requests:
                self._gauge(scheduler_stats, engine_idx)
            cache = scheduler_stats.prefix_cache_stats
            if cache is not None:
                stats.cache_queries += cache.queries
                stats.cache_hits += cache.hits
            drafts = scheduler_stats.spec_decoding_stats
            if drafts is not None:
                stats.drafts += drafts.num_drafts
                stats.draft_tokens += drafts.num_draft_tokens
                stats.accepted_tokens += drafts.num_accepted_tokens
        if iteration_stats is not None:
            prompts = iteration_stats.prompt_token_stats
            stats.steps += 1
            stats.generation_tokens += iteration_stats.num_generation_tokens
            stats.prompt_tokens += prompts.total
            stats.cached_tokens += prompts.cached_tokens
            stats.preemptions += iteration_stats.num_preempted_reqs
            for seconds in iteration_stats.time_to_first_tokens_iter:
                stats.first_token.observe(seconds)
            for ended in iteration_stats.finished_requests:
                stats.latency.observe(ended.e2e_latency)
                stats.queued.observe(ended.queued_time)
                if ended.num_generation_tokens > 1:
                    stats.output_token.observe(ended.mean_time_per_output_token)

    def _gauge(self, scheduler: Any, replica: int) -> None:
        """Take the state of a replica (of data parallelism; else there is one) into the sums."""
        # Older versions tell those that are deferred from no others.
        waiting = scheduler.num_waiting_reqs + getattr(scheduler, "num_skipped_waiting_reqs", 0)
        known, stats = self._replicas, self._stats
        known[replica] = scheduler.num_running_reqs, waiting, scheduler.kv_cache_usage
        if len(known) == 1:
            stats.running, stats.waiting, stats.cache_usage = known[replica]
            return
        stats.running = sum(each[0] for each in known.values())
        stats.waiting = sum(each[1] for each in known.values())
        stats.cache_usage = sum(each[2] for each in known.values()) / len(known)

    def log(self, *_: Any, **__: Any) -> None:
        """Nothing to say."""

    log_engine_initialized = record_sleep_state = record_admission_rejection = log


def logger_factory(stats: EngineStats) -> Any:
    """What vLLM is given to make its stat logger from.

    vLLM adds a Prometheus exporter of its own unless it is given one. It takes a sixth of the time
    that the engine's front end costs, whether anybody looks or not; ours
    (`tts.integrations.prometheus`) reads these counts when it is asked. So this is one by name,
    with none of its work.
    """
    from vllm.v1.metrics.loggers import PrometheusStatLogger

    def make(self: StatLogger, **_: Any) -> None:
        StatLogger.__init__(self, stats)

    return type("CountingStatLogger", (StatLogger, PrometheusStatLogger), {"__init__": make})
