"""What a configuration becomes for workers."""

from __future__ import annotations

import pytest

from tts.cli.spread import _devices, _shared, pool_of
from tts.errors import ConfigError

LIMITS = {"requests_per_second": 3.0, "tokens_per_minute": 1001, "in_flight": 65}


def test_limits_of_servers_hold_for_all_workers_together():
    node = {"_target_": "x", "limits": LIMITS, "retries": 5}
    shared = _shared("backend", node, 2)
    assert shared == {
        "_target_": "x",
        "limits": {"requests_per_second": 1.5, "tokens_per_minute": 500, "in_flight": 32},
        "retries": 5,
    }
    assert node["limits"] is LIMITS and LIMITS["in_flight"] == 65


def test_limits_of_verifiers_on_servers_are_shared_and_of_own_engines_are_not():
    node = {"inner": {"server": "http://x", "in_flight": 64}, "other": {"in_flight": 64}}
    shared = _shared("verifier", node, 4)
    assert shared == {"inner": {"server": "http://x", "in_flight": 16}, "other": {"in_flight": 64}}


def test_no_limit_stays_none():
    free = {"limits": {"requests_per_second": None, "tokens_per_minute": None, "in_flight": 8}}
    assert _shared("backend", free, 2)["limits"]["requests_per_second"] is None
    assert _shared("verifier", None, 2) is None


def test_fewer_requests_than_workers_are_refused():
    with pytest.raises(ConfigError, match=r"backend\.limits\.in_flight is 2, too little for 3"):
        _shared("backend", {"limits": {"in_flight": 2}}, 3)


def test_engines_want_the_devices_of_the_largest(monkeypatch):
    engine = {"_target_": "x", "engine": {"tensor_parallel_size": 4}}
    config = {"backend": engine, "verifier": {"verifier": {"_target_": "y", "engine": {}}}}
    monkeypatch.setattr("tts.engine.detect", lambda: type("Machine", (), {"is_cuda": True}))
    assert _devices(config) == 4
    assert _devices({"backend": {"_target_": "z"}}) == 0
    monkeypatch.setattr("tts.engine.detect", lambda: type("Machine", (), {"is_cuda": False}))
    assert _devices(config) == 0


def test_an_executor_that_is_no_pool_is_refused():
    with pytest.raises(ConfigError, match="makes no pool of workers"):
        pool_of({"executor": {"_target_": "tts.budget.Budget"}})
