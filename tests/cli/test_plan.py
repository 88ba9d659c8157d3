"""`tts plan`, on a run of the simulated model, and the strategy that follows it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.folders import lines, summary
from tts.cli import main

RUN = (
    "run", "backend=simulated", "task.n_problems=40", "verifier=likelihood",
    '+arms.sc=["strategy=self_consistency","strategy.n=16"]',
    '+arms.bon=["strategy=best_of_n","strategy.n=4,8"]',
    '+arms.one=["strategy=greedy"]',
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run with arms to choose from."""
    folder = tmp_path_factory.mktemp("plan")
    assert main([*RUN, f"hydra.run.dir={folder}/runs"]) == 0
    return folder / "runs"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_plan_is_fitted_and_followed(runs, capsys):
    assert main(["plan", str(runs), "--budget", "600", "--bins", "3", "--out", "plan.json"]) == 0
    said = capsys.readouterr().out
    assert "Two-fold:" in said and "strategy.plan=plan.json verifier=likelihood" in said
    plan = json.loads(Path("plan.json").read_text())
    assert plan["model"]["model"] == "simulated" and plan["n_problems"] == 40
    assert plan["kind"] == "bins" and plan["bins"][-1]["least"] is None
    assert all(b["strategy"]["_target_"].startswith("tts.strategies.") for b in plan["bins"])
    follow = ("run", "backend=simulated", "task.n_problems=6", "verifier=likelihood")
    words = ("strategy=by_difficulty", "strategy.plan=plan.json", "hydra.run.dir=out")
    assert main([*follow, *words]) == 0
    assert len(lines("out")) == 6 and summary("out")[0]["strategy_name"] == "by_difficulty"


@pytest.mark.parametrize("signal", ["agreement", "score"])
def test_a_regression_is_fitted_and_followed(runs, signal, capsys):
    words = ("--by", "regression", "--signal", signal, "--pilot", "2", "--out", "plan.json")
    assert main(["plan", str(runs), "--budget", "600", *words]) == 0
    assert "Two-fold:" in capsys.readouterr().out
    plan = json.loads(Path("plan.json").read_text())
    assert (plan["kind"], plan["signal"], plan["pilot"]) == ("regression", signal, 2)
    assert plan["n_problems"] == 40 and plan["price"] >= 0
    follow = ("run", "backend=simulated", "task.n_problems=6", "verifier=likelihood")
    words = ("strategy=by_difficulty", "strategy.plan=plan.json", "hydra.run.dir=out")
    assert main([*follow, *words]) == 0
    assert len(lines("out")) == 6


def test_a_pilot_can_be_judged(runs, capsys):
    assert main(["plan", str(runs), "--budget", "2000", "--signal", "score", "--pilot", "2"]) == 0
    assert "score" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--budget", "600", "--pilot", "99"), "No arm holds 99 independent samples"),
        (("--budget", "3"), "The budget is 3 tokens a problem"),
        (("--budget", "0"), "--budget is 0"),
        (("--budget", "600", "--bins", "0"), "--bins is 0"),
        (("--budget", "600", "--pilot", "0"), "--pilot is 0"),
        (("--budget", "600", "--out", "no/such/plan.json"), "there is no folder"),
    ],
)
def test_what_cannot_be_fitted_is_one_sentence(runs, words, said, capsys):
    assert main(["plan", str(runs), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_a_run_is_named(tmp_path, capsys):
    assert main(["plan", str(tmp_path), "--budget", "600"]) == 2
    assert "provenance.json" in capsys.readouterr().err


def test_runs_with_two_verifiers_are_refused(runs, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(runs, other)
    text = (other / "summary.json").read_text().replace('"likelihood"', '"prm"')
    (other / "summary.json").write_text(text)
    assert main(["plan", str(runs), str(other), "--budget", "600"]) == 2
    assert "2 verifiers (likelihood, prm)" in capsys.readouterr().err


def test_runs_of_two_models_are_refused(runs, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    text = (runs / "provenance.json").read_text().replace('"simulated"', '"another"')
    (other / "provenance.json").write_text(text)
    assert main(["plan", str(runs), str(other), "--budget", "600"]) == 2
    assert "2 models" in capsys.readouterr().err
