"""The engine's counts, against the order in which vLLM's news can arrive."""

from types import SimpleNamespace

from tts.engine.stats import EngineStats, StatLogger


def test_late_news_of_an_idle_engine_does_not_make_it_busy():
    stats = EngineStats(requests=1)
    logger = StatLogger(stats)
    step = SimpleNamespace(num_running_reqs=1, num_waiting_reqs=2, kv_cache_usage=0.1)
    logger.record(scheduler_stats=step)
    assert (stats.running, stats.waiting) == (1, 2)
    stats.requests = stats.running = stats.waiting = 0
    logger.record(scheduler_stats=step)
    assert (stats.running, stats.waiting) == (0, 0)
