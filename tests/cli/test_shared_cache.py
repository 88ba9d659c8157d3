"""Many configurations, and several processes at once, on one replay cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.folders import lines
from tts.backends.simulated import SimulatedBackend
from tts.cli import main

ROOT = Path(__file__).parents[2]
RUN = ("run", "backend=simulated", "task.n_problems=6", "replay.path=cache")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def written(monkeypatch):
    """Counts the tokens that backends write."""
    counts = []
    real = SimulatedBackend.__init__

    def count(self, *given, **named):
        real(self, *given, **named)
        counts.append(self)

    monkeypatch.setattr(SimulatedBackend, "__init__", count)
    return lambda: sum(backend.generated for backend in counts)


def draws(folder):
    """Every answer of a folder with what decides it, and its tokens."""
    return {
        (line["id"], number, candidate["clock"]): candidate["answer"]
        for line in lines(folder)
        for number, candidate in enumerate(line["candidates"])
    }


@pytest.mark.slow
def test_24_configurations_of_a_sweep_write_nothing_twice(written):
    sizes, caps = range(1, 13), (60, 120)
    swept = (f"strategy.n={','.join(map(str, sizes))}", "budget.completion_tokens=10k,20k")
    assert main([*RUN, "-m", "strategy=self_consistency", *swept, "hydra.sweep.dir=sweep"]) == 0
    rows = json.loads(Path("sweep/summary.json").read_text())
    assert len(rows) == len(sizes) * len(caps) == 24
    largest = max(row["completion_tokens"] for row in rows)
    replayed = sum(row["replayed_tokens"] for row in rows)
    charged = sum(row["completion_tokens"] for row in rows)
    assert written() == largest, "the widest configuration holds the samples of all others"
    assert charged - replayed == written(), "what was written was paid once"


def test_two_processes_on_one_cache_are_both_right():
    words = ("strategy=self_consistency", "strategy.n=4", "backend.seconds_per_token=0.0005")
    command = [sys.executable, "-m", "tts.cli", *RUN, *words]
    both = [
        subprocess.Popen(
            [*command, f"hydra.run.dir={name}"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=-3,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert not any("Traceback" in text for text in said), said
    assert main([*RUN, *words[:2], "replay.path=null", "hydra.run.dir=alone"]) == 0
    assert draws("one") == draws("two") == draws("alone")
