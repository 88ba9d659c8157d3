"""Runs with a replay cache: the same figures, and nothing asked twice."""

from __future__ import annotations

import json

import pytest

from tests.demo import SIMULATED
from tts.backends.simulated import SimulatedBackend
from tts.cli import main

RUN = ("run", "backend=simulated", "task.n_problems=10", "replay.path=replay")
OWN = ("replayed_tokens", "seconds")  # what may differ in a run from the cache


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def summary(folder):
    rows = json.loads((folder / "summary.json").read_text())
    return [{k: v for k, v in row.items() if k not in OWN} for row in rows], rows


@pytest.mark.parametrize(
    "words",
    [
        SIMULATED,
        ("-m", "strategy=self_consistency", "budget.completion_tokens=200,400,800"),
        ("strategy.n=3", "repeats=2"),
    ],
)
def test_a_rerun_sends_no_request_and_has_the_same_figures(words, tmp_path, monkeypatch, capsys):
    place = "hydra.sweep.dir" if "-m" in words else "hydra.run.dir"
    assert main([*RUN, *words, f"{place}=one"]) == 0

    def refuse(self, request):
        raise AssertionError("a request was made")

    monkeypatch.setattr(SimulatedBackend, "open", refuse)
    assert main([*RUN, *words, f"{place}=two", "replay.offline=true"]) == 0
    first, _ = summary(tmp_path / "one")
    second, rows = summary(tmp_path / "two")
    assert first == second
    assert all(row["replayed_tokens"] == row["completion_tokens"] for row in rows)
    out = " ".join(capsys.readouterr().out.split())
    assert "100% of the completion tokens of" in out
    assert "came from the replay cache" in out


@pytest.mark.parametrize("vllm", [False, True])
def test_a_rerun_needs_no_server(serve, vllm, tmp_path, monkeypatch):
    server = serve(vllm=vllm, context=100_000)
    run = (
        "run", "backend=openai", "backend.model=toy", f"backend.base_url={server.url}",
        "task.n_problems=6", "strategy=self_consistency", "strategy.n=3", "replay.path=replay",
        "budget.total_tokens=2k",
    )  # fmt: skip
    assert main([*run, "hydra.run.dir=one"]) == 0
    asked = len(server.calls)
    assert asked

    def refuse(*_):
        raise AssertionError("the server was asked what it is")

    assert main([*run, "hydra.run.dir=again"]) == 0
    monkeypatch.setattr("tts.backends.openai.ask_all", refuse)
    assert main([*run, "hydra.run.dir=two", "replay.offline=true"]) == 0
    assert len(server.calls) == asked
    assert summary(tmp_path / "one")[0] == summary(tmp_path / "again")[0]
    assert summary(tmp_path / "one")[0] == summary(tmp_path / "two")[0]


def test_a_server_of_which_nothing_is_recorded(capsys):
    words = ("backend=openai", "backend.model=toy", "backend.base_url=http://localhost:9/v1")
    assert main(["run", *words, "replay.path=replay", "replay.offline=true"]) == 2
    assert "nothing is recorded of model 'toy'" in capsys.readouterr().err


def test_what_is_missing_offline_is_a_failure_that_says_so(tmp_path):
    assert main([*RUN, "strategy.n=2", "hydra.run.dir=one"]) == 0
    assert main([*RUN, "strategy.n=3", "hydra.run.dir=two", "replay.offline=true"]) == 3
    lines = (tmp_path / "two/results.jsonl").read_text().splitlines()[1:]
    errors = {json.loads(line)["error"].split(":")[0] for line in lines}
    assert errors == {"ReplayMiss"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("replay.path=3",), "replay.path is 3"),
        (("replay.offline=perhaps",), "replay.offline is 'perhaps'"),
        (("replay.path=null", "replay.offline=true"), "replay.path is None"),
        (("replay.path=nowhere", "replay.offline=true"), "nowhere"),
    ],
)
def test_bad_input(words, sentence, capsys):
    assert main([*RUN, *words]) == 2
    assert sentence in capsys.readouterr().err
