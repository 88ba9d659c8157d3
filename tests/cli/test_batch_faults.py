"""Batches that are killed, and whose server, disk or engine fails."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.cli.batches import SIMULATED, batch, by_id, records, row, timeless, tokens, write
from tests.servers.scripted import Act, ScriptedServer, Traits

ROOT = Path(__file__).parents[2]
PACED = (
    "backend=simulated", "backend.tokens=40", "backend.seconds_per_token=0.0005",
    "backend.slots=8", "concurrency=8", "strategy=self_consistency", "strategy.n=2",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def python(*words):
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    return done


def killed(times, seed, *words):
    """What came of a batch that was killed so often, and then left alone."""
    done = python("-m", "tests.cli.killing", str(times), str(seed), "in.jsonl", "out", *words)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


# --- kills --------------------------------------------------------------------------------------


def test_fifty_kills_at_random_moments_leave_the_records_of_an_undisturbed_run():
    write(*(row(i, **({"answer": 2 * i + 1} if i % 3 else {})) for i in range(600)))
    budgets = ("budget.completion_tokens=75", "total_budget.completion_tokens=60k")
    found = killed(50, 7, *PACED, *budgets)
    assert (found["kills"], found["code"]) == (50, 0)
    assert found["unborn"], "some kills come before the first record of their sitting"
    disturbed = by_id()
    Path("out").rename("disturbed")
    assert batch(*PACED[:2], *PACED[3:], *budgets) == 0  # at once: no time is simulated
    whole = by_id()
    assert len(whole) == 600
    assert {k: timeless(v) for k, v in disturbed.items()} == {
        k: timeless(v) for k, v in whole.items()
    }
    assert {each["status"] for each in whole.values()} == {"done", "exhausted"}
    assert all(each["usage"]["completion_tokens"] <= 75 for each in whole.values())
    assert tokens() <= 60_000


def test_kills_do_not_stretch_the_budget_of_all():
    write(*map(row, range(300)))
    budget = "total_budget.completion_tokens=6000"
    found = killed(10, 3, *PACED, budget)
    assert (found["kills"], found["code"]) == (10, 0)
    assert len(by_id()) == 300
    assert 5800 < tokens() <= 6000
    assert any(each["limit"] == "total_budget.completion_tokens" for each in records())
