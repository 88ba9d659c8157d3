"""Sweeps through Hydra's launchers, in processes of their own; no Slurm is needed."""

from __future__ import annotations

import json
import sys

import pytest

from tests.folders import lines, summary
from tts.cli import execute, main
from tts.cli.arguments import read
from tts.cli.jobs import compose_jobs
from tts.errors import ConfigError

SWEEP = ("run", "-m", "backend=simulated", "task.n_problems=6", "strategy.n=2,3")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """What one process finds; `basic` is the launcher that launches nothing."""
    folder = tmp_path_factory.mktemp("here")
    assert main([*SWEEP, "hydra/launcher=basic", f"hydra.sweep.dir={folder}"]) == 0
    return told(folder)


def told(folder):
    """What a sweep has found, but for the time that it took."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in summary(folder)]
    answers = [[(r["answer"], r["correct"]) for r in lines(f"{folder}/{job}")] for job in (0, 1)]
    return rows, answers


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), ("hydra/launcher=submitit_local",)],
    ids=["joblib", "submitit_local"],
)
def test_a_launched_sweep_finds_what_one_process_finds(
    launcher, here, tmp_path, monkeypatch, capsys
):
    words = [*SWEEP, *launcher, "hydra.sweep.dir=out"]
    monkeypatch.setattr(sys, "argv", ["tts", *words])
    assert main(words) == 0
    assert told("out") == here
    assert "Results: out" in capsys.readouterr().out
    about = json.loads((tmp_path / "out" / "0" / "provenance.json").read_text())
    assert about["command"] == ["tts", *words]


@pytest.mark.slow
def test_a_job_that_fails_is_named_and_the_others_are_kept(capsys):
    words = (*SWEEP[:-1], "strategy.n=2,0", "hydra/launcher=joblib", "hydra.sweep.dir=out")
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "1 of 2 jobs failed; strategy.n=0: strategy.n is 0; it must be at least 1." in said
    assert len(lines("out/0")) == 6


def test_a_launcher_that_is_not_there_is_refused(capsys):
    assert main([*SWEEP, "hydra/launcher=kubernetes"]) == 2
    said = capsys.readouterr().err
    assert "There is no launcher 'kubernetes'." in said
    assert "pip install 'tts-scaling[sweeps]'" in said


def test_a_single_run_is_not_launched(capsys):
    assert main(["run", "backend=simulated", "hydra/launcher=joblib"]) == 2
    assert "Add -m." in capsys.readouterr().err


def test_jobs_that_have_not_ended_are_not_reported_on(tmp_path):
    words = [*SWEEP[1:], "hydra.sweep.dir=out"]
    jobs = compose_jobs(read(words))
    execute.record(jobs[:1])
    assert not (tmp_path / "out" / "0" / "summary.json").exists()
    with pytest.raises(ConfigError, match="out/1 holds no whole run of self_consistency"):
        execute.conclude(jobs)
    execute.record(jobs)  # goes on: nothing of the first is done again
    assert not (tmp_path / "out" / "0" / "earlier").exists()
    assert not execute.conclude(jobs)
    assert len(summary("out")) == 2
