"""A trial's process and its ends, without an engine; one with engines is in tests/cli/test_tune."""

from __future__ import annotations

import os
import time

import pytest

from tests.tuning import makers
from tts.tuning.engine import trial
from tts.tuning.engine.trial import Sentinel, Trial, TrialFailed


@pytest.fixture
def start(tmp_path):
    """Starts a trial; what it takes must fail."""

    def begin(maker, patience=60.0, **environment):
        with Sentinel() as sentinel, pytest.raises(TrialFailed) as error:
            Trial(maker, {"threads": 2}, environment, tmp_path / "log", sentinel, patience)
        return error.value

    return begin


def test_what_the_checks_refuse_is_infeasible(start):
    error = start(makers.unusable)
    assert error.infeasible and error.message == "threads is 2."


def test_a_fault_of_ours_names_itself(start):
    error = start(makers.broken)
    assert not error.infeasible
    assert error.message == "Its process ended (1): ValueError: broken on purpose."


def test_what_runs_out_of_memory_takes_nobody_with_it(start):
    error = start(makers.killed)
    assert "was killed, as when memory runs out" in error.message


def test_what_hangs_is_ended(start, monkeypatch):
    monkeypatch.setattr(trial, "_GRACE_SECONDS", 1.0)
    started = time.monotonic()
    error = start(makers.slow, patience=3.0)
    assert error.message == "It took longer than 3 s to start."
    assert time.monotonic() - started < 40


def test_variables_and_session_are_its_own(start):
    said = start(makers.told, TUNED="here").message
    assert said.startswith("TUNED is here")
    assert said != f"TUNED is here, in session {os.getsid(0)}."
    assert "TUNED" not in os.environ
