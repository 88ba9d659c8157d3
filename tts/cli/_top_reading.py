"""What a page of metrics says: ours (`tts_*`), or that of a plain vLLM server (`vllm:*`)."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tts.engine.histogram import quantile

_SECONDS = 5.0  # that a page may take: a busy process is slow to answer
_VLLM = "vllm:"
# Fields of an engine, and the names that they have on the two kinds of pages.
_NAMES = {
    "running": ("tts_engine_requests_running", "vllm:num_requests_running"),
    "waiting": ("tts_engine_requests_waiting", "vllm:num_requests_waiting"),
    "held": ("tts_engine_requests_held", ""),
    "cache_usage": ("tts_engine_kv_cache_usage_ratio", "vllm:kv_cache_usage_perc"),
    "queries": ("tts_engine_prefix_cache_queries_total", "vllm:prefix_cache_queries_total"),
    "hits": ("tts_engine_prefix_cache_hits_total", "vllm:prefix_cache_hits_total"),
    "prompt_tokens": ("tts_engine_prompt_tokens_total", "vllm:prompt_tokens_total"),
    "generation_tokens": ("tts_engine_generation_tokens_total", "vllm:generation_tokens_total"),
    "drafted": ("tts_engine_draft_tokens_total", "vllm:spec_decode_num_draft_tokens_total"),
    "accepted": (
        "tts_engine_draft_tokens_accepted_total",
        "vllm:spec_decode_num_accepted_tokens_total",
    ),
    "preemptions": ("tts_engine_preemptions_total", "vllm:num_preemptions_total"),
    "restarts": ("tts_engine_restarts_total", ""),
}
_LATENCY = ("tts_engine_request_seconds_bucket", "vllm:e2e_request_latency_seconds_bucket")
_FIRST = (
    "tts_engine_time_to_first_token_seconds_bucket",
    "vllm:time_to_first_token_seconds_bucket",
)
_STATES = ("tts_engine_state", "vllm:engine_sleep_state")
_RUN = {
    "total": "tts_run_problems",
    "done": "tts_run_problems_done_total",
    "failed": "tts_run_problems_failed_total",
    "graded": "tts_run_problems_graded_total",
    "right": "tts_run_problems_right_total",
    "prompt_tokens": "tts_run_prompt_tokens_total",
    "completion_tokens": "tts_run_completion_tokens_total",
    "verifier_tokens": "tts_run_verifier_tokens_total",
    "usd": "tts_run_usd_total",
    "budget_left": "tts_run_budget_left_ratio",
    "elapsed": "tts_run_elapsed_seconds",
    "remaining": "tts_run_remaining_seconds",
    "ended": "tts_run_ended",
}

Labels = Mapping[str, str]
Samples = Mapping[str, Sequence[tuple[Labels, float]]]


@dataclass(frozen=True, slots=True)
class Buckets:
    """Durations, counted.

    Attributes:
        bounds: Upper bounds in seconds, rising, of all buckets but the last.
        counts: In each bucket; empty if nothing is known.
    """

    bounds: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()

    def since(self, before: Buckets) -> Buckets:
        """What was counted after another look; all of it if nothing was, or none is comparable."""
        if before.bounds != self.bounds:
            return self
        new = tuple(b - a for a, b in zip(before.counts, self.counts, strict=True))
        return Buckets(self.bounds, new) if sum(new) > 0 and min(new) >= 0 else self

    def quantile(self, part: float) -> float | None:
        """A quantile in seconds; None if nothing was counted."""
        found = quantile(self.bounds, self.counts, part)
        return None if math.isnan(found) else found


@dataclass(frozen=True, slots=True)
class EngineView:
    """An engine on a page.

    Attributes:
        model: Its name.
        role: policy, reward or draft; `server` on a page of vLLM's own.
        number: Tells the engines of a page apart.
        state: What it is at.
        values: By field; what the page does not say is missing.
        latency: Of whole requests.
        first: Until the first token.
    """

    model: str
    role: str
    number: str
    state: str
    values: Mapping[str, float]
    latency: Buckets
    first: Buckets

    def get(self, name: str) -> float:
        """A field, 0 if the page does not say."""
        return self.values.get(name, 0.0)


@dataclass(frozen=True, slots=True)
class RunView:
    """An arm of a run on a page.

    Attributes:
        run: Its folder.
        arm: Its label.
        values: By field; what the page does not say is missing.
    """

    run: str
    arm: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Page:
    """One look at a page.

    Attributes:
        url: Of the page.
        what: What serves it: a command, or `vllm`; empty if that is not known.
        process: Id of the process; None if that is not known.
        at: When it was looked at, in seconds from any point in time.
        engines: On it.
        runs: On it.
        error: Why there is nothing, if there is nothing.
    """

    url: str
    what: str = ""
    process: int | None = None
    at: float = 0.0
    engines: tuple[EngineView, ...] = ()
    runs: tuple[RunView, ...] = ()
    error: str = ""


def look(url: str, what: str = "", process: int | None = None) -> Page:
    """Look at a page of metrics; a page that does not answer says so itself.

    Args:
        url: Without `/metrics`.
        what: What serves it, if that is known.
        process: Id of the process, if that is known.
    """
    import httpx

    now = time.monotonic()
    try:
        answer = httpx.get(f"{url}/metrics", timeout=_SECONDS, follow_redirects=True)
        answer.raise_for_status()
        samples = parse(answer.text)
    except httpx.HTTPStatusError as error:
        return Page(url, what, process, now, error=f"status {error.response.status_code}")
    except httpx.HTTPError as error:
        return Page(url, what, process, now, error=str(error) or type(error).__name__)
    except ValueError:
        return Page(url, what, process, now, error="what it says are no metrics")
    found, runs = engines(samples), runs_of(samples)
    if not found and not runs and not any(name.startswith("tts_") for name in samples):
        ours = "it says nothing of engines (neither tts_engine_* nor vllm:*)"
        return Page(url, what, process, now, error=ours)
    server = any(each.role == "server" for each in found)
    return Page(url, what or ("vllm" if server else ""), process, now, found, runs)


def parse(text: str) -> Samples:
    """All samples of a page, by name; one without samples has its name too.

    Raises:
        ValueError: It is no page of metrics.
    """
    from prometheus_client.parser import text_string_to_metric_families

    samples: dict[str, list[tuple[Labels, float]]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        samples[family.name] += []
        for sample in family.samples:
            samples[sample.name].append((sample.labels, sample.value))
    return samples


def engines(samples: Samples) -> tuple[EngineView, ...]:
    """The engines of a page, ours before those of a server."""
    return (*_engines(samples, 0, "model"), *_engines(samples, 1, "model_name"))


def _engines(samples: Samples, kind: int, model: str) -> Iterable[EngineView]:
    """The engines of one kind of page; `model` is the label that names the model."""
    keys = ("model", "role", "engine") if kind == 0 else (model, "engine")

    def key(labels: Labels) -> tuple[str, ...]:
        return tuple(labels.get(name, "") for name in keys)

    values: dict[tuple[str, ...], dict[str, float]] = {}
    for field, names in _NAMES.items():
        for labels, value in samples.get(names[kind], ()):
            known = values.setdefault(key(labels), {})
            known[field] = known.get(field, 0.0) + value
    for found, fields in values.items():
        mine = {
            name: [
                (labels, value) for labels, value in samples.get(name, ()) if key(labels) == found
            ]
            for name in (_LATENCY[kind], _FIRST[kind], _STATES[kind])
        }
        yield EngineView(
            found[0],
            found[1] if kind == 0 else "server",
            found[-1],
            _state(mine[_STATES[kind]], kind),
            fields,
            _buckets(mine[_LATENCY[kind]]),
            _buckets(mine[_FIRST[kind]]),
        )


def _state(samples: Sequence[tuple[Labels, float]], kind: int) -> str:
    if kind == 0:
        return next((labels["state"] for labels, value in samples if value), "?")
    awake = [value for labels, value in samples if labels.get("sleep_state") == "awake"]
    return "asleep" if awake and not awake[0] else "running"


def _buckets(samples: Sequence[tuple[Labels, float]]) -> Buckets:
    """Counts in each bucket, of samples that count up to each bound."""
    upto = sorted((float(labels["le"]), value) for labels, value in samples if "le" in labels)
    if not upto:
        return Buckets()
    before = [0.0, *(value for _, value in upto)]
    counts = tuple(value - less for (_, value), less in zip(upto, before, strict=False))
    return Buckets(tuple(bound for bound, _ in upto if bound != math.inf), counts)


def runs_of(samples: Samples) -> tuple[RunView, ...]:
    """The arms on a page, those that began first first."""
    values: dict[tuple[str, str], dict[str, float]] = {}
    for field, name in _RUN.items():
        for labels, value in samples.get(name, ()):
            values.setdefault((labels.get("run", ""), labels.get("arm", "")), {})[field] = value
    return tuple(RunView(run, arm, fields) for (run, arm), fields in values.items())
