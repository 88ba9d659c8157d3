"""What is shown to Prometheus: every figure with its name, its kind and its meaning, in one table.

Names follow Prometheus's own rules: base units, `_total` for what only grows, `_ratio` for parts of
one. Knows neither Prometheus's library nor how the figures are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from tts.engine.census import STATES, Entry
from tts.engine.hardware import GIB
from tts.engine.histogram import Histogram
from tts.evaluation.tally import Tally

Kind = Literal["gauge", "counter", "histogram"]
Values = Mapping[str, float | None]
"""By the value of a figure's own label; by '' where it has none. None: there is nothing to say."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Figure(Generic[_T]):
    """One figure.

    Attributes:
        name: In full, as Prometheus shows it.
        kind: What it is.
        help: What it means.
        read: Its values, of one thing.
        label: That tells its values apart; empty if it has one.
    """

    name: str
    kind: Kind
    help: str
    read: Callable[[_T], Values | Histogram]
    label: str = ""


@dataclass(slots=True)
class Progress:
    """An arm that is being evaluated.

    Attributes:
        run: Its run's folder.
        tally: What has come of it.
        ended: Whether nothing more will.
    """

    run: str
    tally: Tally
    ended: bool = field(default=False)


def _one(read: Callable[[_T], float | None]) -> Callable[[_T], Values]:
    return lambda thing: {"": read(thing)}


def _drafted(read: Callable[[Entry], int]) -> Callable[[Entry], Values]:
    """Nothing to say where nothing is drafted."""
    return lambda entry: {"": read(entry) if entry.stats.drafts else None}


def _memory(entry: Entry) -> Values:
    plan = entry.footprint
    parts = {"weights": plan.weights, "kv_cache": plan.cache, "other": plan.beside}
    return {part: None if gib is None else gib * GIB for part, gib in parts.items()}


ENGINE_LABELS = ("model", "role", "engine")
RUN_LABELS = ("run", "arm")

ENGINE: tuple[Figure[Entry], ...] = (
    Figure(
        "tts_engine_up", "gauge", "1 while the engine's process is there, else 0.",
        _one(lambda e: e.state in ("running", "paused", "asleep")),
    ),
    Figure(
        "tts_engine_state", "gauge",
        "1 for what the engine is at, 0 for the rest: stopped (not started yet), starting, running,"
        " paused, asleep, dead.",
        lambda e: {state: state == e.state for state in STATES}, "state",
    ),
    Figure(
        "tts_engine_requests", "gauge", "Requests that were sent and have not ended.",
        _one(lambda e: e.stats.requests),
    ),
    Figure(
        "tts_engine_requests_held", "gauge",
        "Requests that wait in front of an engine that is paused or asleep.",
        _one(lambda e: e.stats.held),
    ),
    Figure(
        "tts_engine_requests_running", "gauge", "Sequences in the last step's batch.",
        _one(lambda e: e.stats.running),
    ),
    Figure(
        "tts_engine_requests_waiting", "gauge", "Requests in the engine's queue.",
        _one(lambda e: e.stats.waiting),
    ),
    Figure(
        "tts_engine_kv_cache_usage_ratio", "gauge", "Part of the KV cache in use, 0 to 1.",
        _one(lambda e: e.stats.cache_usage),
    ),
    Figure(
        "tts_engine_prefix_cache_queries_total", "counter",
        "Tokens that were looked up in the prefix cache.", _one(lambda e: e.stats.cache_queries),
    ),
    Figure(
        "tts_engine_prefix_cache_hits_total", "counter",
        "Tokens that were found there.", _one(lambda e: e.stats.cache_hits),
    ),
    Figure(
        "tts_engine_prompt_tokens_total", "counter",
        "Prompt tokens that were prefilled, cached ones included.",
        _one(lambda e: e.stats.prompt_tokens),
    ),
    Figure(
        "tts_engine_prompt_tokens_cached_total", "counter",
        "Those of them that were not computed again.", _one(lambda e: e.stats.cached_tokens),
    ),
    Figure(
        "tts_engine_generation_tokens_total", "counter", "Tokens that were generated.",
        _one(lambda e: e.stats.generation_tokens),
    ),
    Figure(
        "tts_engine_steps_total", "counter", "Steps that produced tokens.",
        _one(lambda e: e.stats.steps),
    ),
    Figure(
        "tts_engine_preemptions_total", "counter",
        "Sequences thrown out of a full KV cache, to be computed again.",
        _one(lambda e: e.stats.preemptions),
    ),
    Figure(
        "tts_engine_requests_finished_total", "counter",
        "Requests that have ended, by reason: stop, length, abort, error, repetition.",
        lambda e: dict(e.stats.finished), "reason",
    ),
    Figure(
        "tts_engine_drafts_total", "counter",
        "Times that tokens were drafted, with speculative decoding.",
        _drafted(lambda e: e.stats.drafts),
    ),
    Figure(
        "tts_engine_draft_tokens_total", "counter", "Tokens that were drafted.",
        _drafted(lambda e: e.stats.draft_tokens),
    ),
    Figure(
        "tts_engine_draft_tokens_accepted_total", "counter", "Those that the model agreed with.",
        _drafted(lambda e: e.stats.accepted_tokens),
    ),
    Figure(
        "tts_engine_time_to_first_token_seconds", "histogram",
        "From a request's arrival to its first token.", lambda e: e.stats.first_token,
    ),
    Figure(
        "tts_engine_time_per_output_token_seconds", "histogram",
        "Mean time from one token of an answer to the next, once an answer.",
        lambda e: e.stats.output_token,
    ),
    Figure(
        "tts_engine_request_seconds", "histogram",
        "From a request's arrival to its end; of those that were not aborted.",
        lambda e: e.stats.latency,
    ),
    Figure(
        "tts_engine_queue_seconds", "histogram",
        "Time that a request waited for a slot; of those that were not aborted.",
        lambda e: e.stats.queued,
    ),
    Figure(
        "tts_engine_restarts_total", "counter",
        "Times that the engine was started again after it had died.",
        _one(lambda e: e.stats.restarts),
    ),
    Figure(
        "tts_engine_planned_memory_bytes", "gauge",
        "Memory planned for the engine, on GPUs of each device, by part: weights, kv_cache, other;"
        " a cache that takes what is left is not listed.", _memory, "part",
    ),
)  # fmt: skip

RUN: tuple[Figure[Progress], ...] = (
    Figure(
        "tts_run_problems", "gauge", "Problems of an arm, repeats counted.",
        _one(lambda p: p.tally.total),
    ),
    Figure(
        "tts_run_problems_done_total", "counter",
        "Those that are recorded, earlier sittings included.", _one(lambda p: p.tally.done),
    ),
    Figure(
        "tts_run_problems_failed_total", "counter", "Those that failed.",
        _one(lambda p: p.tally.failed),
    ),
    Figure(
        "tts_run_problems_graded_total", "counter",
        "Those of which it is known whether they are right.", _one(lambda p: p.tally.graded),
    ),
    Figure(
        "tts_run_problems_right_total", "counter", "Those that are right.",
        _one(lambda p: p.tally.right),
    ),
    Figure(
        "tts_run_prompt_tokens_total", "counter", "Prompt tokens of this sitting's requests.",
        _one(lambda p: p.tally.spent.prompt_tokens),
    ),
    Figure(
        "tts_run_completion_tokens_total", "counter", "Tokens generated in this sitting.",
        _one(lambda p: p.tally.spent.completion_tokens),
    ),
    Figure(
        "tts_run_verifier_tokens_total", "counter",
        "Tokens that verifiers have read and written in this sitting.",
        _one(lambda p: p.tally.spent.verifier_tokens),
    ),
    Figure(
        "tts_run_usd_total", "counter", "Dollars that this sitting has cost at list price.",
        _one(lambda p: p.tally.spent.usd),
    ),
    Figure(
        "tts_run_budget_left_ratio", "gauge",
        "Part of the budget that is left, by the limit that is used most.",
        _one(lambda p: p.tally.budget_left),
    ),
    Figure(
        "tts_run_elapsed_seconds", "gauge", "Since the arm began in this sitting.",
        _one(lambda p: p.tally.seconds),
    ),
    Figure(
        "tts_run_remaining_seconds", "gauge", "To the end, at the pace so far.",
        _one(lambda p: 0.0 if p.ended else p.tally.seconds_left),
    ),
    Figure(
        "tts_run_ended", "gauge", "1 if nothing more will come of the arm, else 0.",
        _one(lambda p: p.ended),
    ),
)  # fmt: skip


def table() -> Iterable[tuple[str, str, str, str]]:
    """Name, kind, labels and meaning of all figures."""
    for figures, labels in ((ENGINE, ENGINE_LABELS), (RUN, RUN_LABELS)):
        for each in figures:
            own = (each.label,) if each.label else ()
            yield each.name, each.kind, ", ".join((*labels, *own)), each.help
