"""The engine's counts, against what vLLM's own classes say and the order in which news arrives."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.engine.histogram import BOUNDS, Histogram, quantile
from tts.engine.stats import EngineStats, StatLogger


def scheduler(running=1, waiting=2, usage=0.1, *, cache=None, drafts=None, deferred=0):
    return SimpleNamespace(
        num_running_reqs=running,
        num_waiting_reqs=waiting,
        num_skipped_waiting_reqs=deferred,
        kv_cache_usage=usage,
        prefix_cache_stats=cache,
        spec_decoding_stats=drafts,
    )


def test_late_news_of_an_idle_engine_does_not_make_it_busy():
    stats = EngineStats(requests=1)
    logger = StatLogger(stats)
    logger.record(scheduler_stats=scheduler(deferred=3))
    assert (stats.running, stats.waiting) == (1, 5)
    stats.requests = stats.running = stats.waiting = 0
    logger.record(scheduler_stats=scheduler())
    assert (stats.running, stats.waiting) == (0, 0)


def test_caches_and_drafts_add_up():
    stats = EngineStats(requests=1)
    logger = StatLogger(stats)
    assert (stats.hit_rate, stats.acceptance) == (0.0, None)
    cache = SimpleNamespace(queries=100, hits=64)
    drafts = SimpleNamespace(num_drafts=2, num_draft_tokens=6, num_accepted_tokens=3)
    logger.record(scheduler_stats=scheduler(cache=cache, drafts=drafts))
    logger.record(scheduler_stats=scheduler(cache=SimpleNamespace(queries=28, hits=0)))
    assert (stats.cache_queries, stats.cache_hits, stats.hit_rate) == (128, 64, 0.5)
    assert (stats.drafts, stats.draft_tokens, stats.acceptance) == (2, 6, 0.5)


def test_replicas_are_summed_up():
    stats = EngineStats(requests=9)
    logger = StatLogger(stats)
    logger.record(scheduler_stats=scheduler(3, 1, 0.2), engine_idx=0)
    logger.record(scheduler_stats=scheduler(5, 0, 0.4), engine_idx=1)
    assert (stats.running, stats.waiting) == (8, 1)
    assert stats.cache_usage == pytest.approx(0.3)
    logger.record(scheduler_stats=scheduler(0, 0, 0.0), engine_idx=0)
    assert (stats.running, stats.waiting) == (5, 0)


def test_a_duration_on_a_bound_belongs_below_it():
    histogram = Histogram()
    for seconds in (-1.0, 0.001, 0.0011, 1000.0, 1000.1):
        histogram.observe(seconds)
    assert histogram.counts[:2] == [2, 1]
    assert histogram.counts[-2:] == [1, 1]
    assert (histogram.count, histogram.sum) == (5, pytest.approx(2000.1021))


def test_quantiles_by_hand():
    # Two up to 1, six up to 2, two up to 4: the fifth of ten is half way up the six.
    assert quantile((1.0, 2.0, 4.0), (2, 6, 2, 0), 0.5) == pytest.approx(1.5)
    assert quantile((1.0, 2.0, 4.0), (2, 6, 2, 0), 0.9) == pytest.approx(3.0)
    assert quantile((1.0, 2.0, 4.0), (0, 0, 0, 3), 0.5) == 4.0
    assert quantile((1.0,), (0, 0), 0.5) != quantile((1.0,), (0, 0), 0.5)  # NaN


@given(st.lists(st.floats(0, 900), min_size=1), st.floats(0, 1))
def test_a_quantile_is_no_further_off_than_its_bucket(durations, part):
    histogram = Histogram()
    for seconds in durations:
        histogram.observe(seconds)
    assert histogram.count == len(durations)
    exact = sorted(durations)[max(0, -(-int(part * len(durations) * 1e9) // 10**9) - 1)]
    found = histogram.quantile(part)
    bounds = (0.0, *BOUNDS)
    bucket = next(i for i, bound in enumerate(BOUNDS) if exact <= bound)
    assert bounds[max(0, bucket - 1)] <= found <= bounds[min(len(BOUNDS), bucket + 2)]
    assert histogram.quantile(0.2) <= histogram.quantile(0.8)
