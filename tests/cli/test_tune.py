"""`tts tune`: its words, its refusals, and one search on the real engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tts.backends.vllm import VLLMBackend
from tts.cli import main
from tts.tuning.engine import trial

HERE = Path(__file__).parents[2]
SMALL = ("strategy=self_consistency", "strategy.n=2", "task.n_problems=6", "concurrency=3")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def unstarted(monkeypatch):
    """No engine may be started, and no process for one."""

    def refuse(*_, **__):
        raise AssertionError("something was started")

    monkeypatch.setattr(VLLMBackend, "start", refuse)
    monkeypatch.setattr(trial.Trial, "__init__", refuse)
    monkeypatch.setattr(trial.Sentinel, "__enter__", refuse)


def test_help_is_light():
    code = (
        "import sys; from tts.cli import main; main(['tune', '--help']); heavy = {'hydra', 'torch',"
        " 'optuna', 'vllm', 'matplotlib', 'numpy'} & set(sys.modules); assert not heavy, heavy"
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "--objective" in done.stdout and "+tuned=engine" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--knob", "treads=1,2"], "Did you mean threads?"),
        (["--knob", "dtype=float32"], "dtype is no knob"),
        (["--trials=-1"], "--trials is -1; it must be at least 0."),
        (["--rounds=0"], "--rounds is 0"),
        (["--piece=0"], "--piece is 0"),
        (["--minutes=0"], "--minutes is 0; it must be above 0."),
        (["--objective=speed"], "invalid choice: 'speed'"),
        (["--json=nowhere/a.json"], "--json: there is no folder"),
        (["backend=simulated"], "backend is another"),
        (["replay.path=cache"], "replayed"),
        (["-m", "seed=1,2"], "there are several"),
        (["total_budget.usd=1"], "total_budget would end a measurement"),
        (["executor=ray"], "executor is another place"),
        (["model=mini-reasonr"], "There is no model"),
        (["model.engine.block_size=33"], "must be a multiple of 32"),
        (["model.engine.threads=4096"], "threads is 4096"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_started(words, said, unstarted, capsys):
    assert main(["tune", *SMALL, *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert not Path("outputs").exists()


def test_a_folder_of_something_else_is_left_alone(unstarted, capsys):
    Path("out").mkdir()
    Path("out/thesis.tex").write_text("whole")
    assert main(["tune", *SMALL, "--out", "out"]) == 2
    assert "holds something else" in capsys.readouterr().err
    assert Path("out/thesis.tex").read_text() == "whole"


def test_with_everything_set_there_is_nothing_to_search(unstarted, capsys):
    given = {
        **{"max_num_seqs": 8, "max_num_batched_tokens": 2048, "block_size": 32, "threads": 1},
        **{"kv_cache_gib": 0.25, "enforce_eager": "true", "tensor_parallel_size": 1},
    }
    words = [f"model.engine.{name}={value}" for name, value in given.items()]
    words.append("model.engine.speculative={method:ngram,tokens:2}")
    assert main(["tune", *SMALL, *words]) == 2
    assert "nothing to search" in capsys.readouterr().err


@pytest.mark.engine
@pytest.mark.apart
@pytest.mark.slow
@pytest.mark.timeout(900)  # three engines on a busy machine
def test_a_search_on_the_real_engine(capsys):
    """Three engines: vLLM's defaults, ours, and a candidate. Nothing is compiled, for the time."""
    words = [
        *("tune", *SMALL, "task.max_tokens=48", "model.engine.enforce_eager=true"),
        *("--knob", "max_num_seqs=4,128", "--knob", "threads=1", "--knob", "block_size=32"),
        *("--knob", "kv_cache_gib=0.25", "--knob", "max_num_batched_tokens=2048"),
        *("--knob", "speculative_tokens=0", "--trials=1", "--rounds=2", "--pieces=1"),
        *("--out", "out", "--json", "copy.json"),
    ]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "vLLM's defaults" in said.out and "over 2 rounds in turns" in said.out
    found = json.loads(Path("out/study.json").read_text())
    assert json.loads(Path("copy.json").read_text()) == found
    names = [each["name"] for each in found["references"]]
    assert names == ["vLLM's defaults", "the defaults"]
    (tried,) = found["trials"]
    assert tried["status"] == "measured" and tried["throughput"] > 0
    # Other batches and threads: the same seeds, and with them the same answers.
    assert tried["answers"] == 3 and tried["differing"] == 0
    assert found["rounds"] == 2 and found["standings"][0]["name"] == "trial 1"
    with Image.open("out/landscape.png") as drawn:
        assert drawn.format == "PNG" and drawn.width > 800
    tuned = yaml.safe_load(Path("out/tuned/engine.yaml").read_text())
    assert tuned is None or tuned["model"]["engine"]["threads"] == 1
    # Nothing is measured twice, and what is saved is taken by other commands.
    assert main(words) == 0
    assert json.loads(Path("out/study.json").read_text()) == found
    Path("out/tuned/engine.yaml").write_text(
        "# @package _global_\nmodel:\n  engine:\n    threads: 1\n    max_num_seqs: 4\n"
    )
    capsys.readouterr()
    assert main(["run", "--config-dir", "out", "+tuned=engine", *SMALL, "--cfg", "job"]) == 0
    engine = yaml.safe_load(capsys.readouterr().out)["model"]["engine"]
    assert engine["threads"] == 1 and engine["max_num_seqs"] == 4
    assert engine["max_model_len"] == 1024
