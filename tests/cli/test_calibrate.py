"""`tts run` and `tts calibrate` with two models, on simulated ones."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.folders import lines, summary
from tts.cli import main

PAIR = ("backend=simulated", "draft=simulated", "task.n_problems=30")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Outputs go to a folder of their own."""
    monkeypatch.chdir(tmp_path)


def test_the_command_that_it_prints_gives_about_the_share(capsys):
    words = [*PAIR, "strategy=glimp_router", "strategy.threshold=9", "--share", "0.4"]
    assert main(["calibrate", *words, "--json", "found.json"]) == 0
    said = capsys.readouterr().out
    found = json.loads(Path("found.json").read_text())
    assert found["share"]["mean"] == pytest.approx(0.4, abs=0.02)
    assert found["low"] <= found["threshold"] <= found["high"]
    assert (found["n_problems"], found["n_steps"]) == (30, 30)
    command = shlex.split(said.splitlines()[-1])
    assert command[:2] == ["tts", "run"]
    assert command.count(f"strategy.threshold={found['threshold']:g}") == 1
    assert "strategy.threshold=9" not in command
    assert main([*command[1:], "hydra.run.dir=out"]) == 0
    (row,) = summary("out")
    assert row["draft"] == "simulated"
    # Chains of one step each: on the same problems the share is the one that was found.
    trees = [json.loads(line) for line in Path("out/trees.jsonl").read_text().splitlines()[1:]]
    steps = [tree["details"]["steps"] for tree in trees]
    large = sum(step["large"] for step in steps)
    assert large / sum(sum(step.values()) for step in steps) == pytest.approx(
        found["share"]["mean"]
    )


def test_rounds_go_on_with_the_chains_of_both(capsys):
    words = [*PAIR, "strategy=spec_reason", "verifier=likelihood", "--share", "0.5"]
    assert main(["calibrate", *words, "--rounds", "2"]) == 0
    said = capsys.readouterr().out
    assert "grades of 30 problems" in said and "draft model alone" not in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["strategy=glimp_router"], "--share"),
        (["strategy=glimp_router", "--share", "2"], "--share is 2; it must lie in [0, 1]."),
        (["strategy=glimp_router", "--share", "0.2", "--rounds", "0"], "--rounds is 0"),
        (["strategy=greedy", "--share", "0.2"], "strategy=greedy has no threshold"),
        (["experiment=demo", "--share", "0.2"], "There are several arms"),
        (["strategy=glimp_router", "draft=none", "--share", "0.2"], "needs a draft model"),
        (["strategy=spec_reason", "--share", "0.2"], "SpecReason needs a verifier"),
        (["strategy=spec_reason", "strategy.thresold=3", "--share", "0.2"], "strategy.thresold"),
    ],
)
def test_bad_input_is_named(words, sentence, capsys):
    assert main(["calibrate", *PAIR, *words]) == 2
    assert sentence in capsys.readouterr().err


def test_who_needs_no_draft_model_gets_none_and_its_runs_go_on():
    once = ("run", "backend=simulated", "task.n_problems=4", "strategy.n=2", "hydra.run.dir=out")
    assert main([*once]) == 0
    Path("out/summary.json").unlink()  # as if it had been killed at its end
    before = lines("out")
    assert main([*once, "draft=simulated"]) == 0
    assert lines("out") == before
    (row,) = summary("out")
    assert row["draft"] is None and row["draft_tokens"] == 0


def test_which_draft_model_it_was_tells_runs_apart(capsys):
    once = ("run", *PAIR, "strategy=glimp_router", "hydra.run.dir=out")
    assert main([*once]) == 0
    Path("out/summary.json").unlink()
    assert main([*once, "draft.accuracy=0.1"]) == 0
    assert "An earlier run was in the way" in capsys.readouterr().err


def test_an_estimate_counts_both_and_says_what_it_cannot_know(capsys):
    assert main(["estimate", *PAIR, "strategy=glimp_router", "--json", "cost.json"]) == 0
    (arm,) = json.loads(Path("cost.json").read_text())["arms"]
    assert arm["expected"]["draft_tokens"] > 0
    assert "which of two models writes a step cannot be known" in capsys.readouterr().out


def test_a_draft_model_behind_a_replay_cache():
    once = ("run", *PAIR, "strategy=glimp_router", "replay.path=cache")
    assert main([*once, "hydra.run.dir=one"]) == main([*once, "hydra.run.dir=two"]) == 0
    (first,), (again,) = summary("one"), summary("two")
    assert again["replayed_tokens"] == again["completion_tokens"] == first["completion_tokens"]
    assert again["draft_tokens"] == first["draft_tokens"] > 0
