"""`tts estimate`: the words of `tts run`, earlier runs, and no request."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tts.backends.simulated import SimulatedBackend
from tts.backends.vllm import VLLMBackend
from tts.cli import main

ARMS = (
    "backend=simulated",
    "task.n_problems=40",
    '+arms.greedy=["strategy=greedy"]',
    '+arms.vote=["strategy=self_consistency"]',
    '+arms.best=["strategy=best_of_n","verifier=likelihood","budget.completion_tokens=400"]',
    '+arms.early=["strategy=self_consistency","strategy.n=16","controller=beta"]',
)
COMPARED = ("prompt_tokens", "completion_tokens", "calls", "verifier_calls", "flops")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def unstarted(monkeypatch):
    """No backend may be started, nor asked."""

    def refuse(self, *_):
        raise AssertionError("a backend was used")

    for backend in (SimulatedBackend, VLLMBackend):
        monkeypatch.setattr(backend, "start", refuse)
        monkeypatch.setattr(backend, "open", refuse)


def estimated(*words):
    assert main(["estimate", *words, "--json", "cost.json"]) == 0
    return json.loads(Path("cost.json").read_text())


def test_an_estimate_agrees_with_the_run_that_follows_the_measured_one(capsys):
    assert main(["run", *ARMS, "seed=1"]) == 0
    found = estimated(*ARMS)
    assert "as measured in outputs/mini/" in capsys.readouterr().out
    assert main(["run", *ARMS, "seed=2", "hydra.run.dir=second"]) == 0
    rows = json.loads(Path("second/summary.json").read_text())
    assert [arm["label"] for arm in found["arms"]] == [row["strategy"] for row in rows]
    for arm, row in zip(found["arms"], rows, strict=True):
        assert arm["basis"][0].startswith("Lengths of answers: as measured in outputs/mini/")
        for name in COMPARED:
            assert row[name] <= arm["upper"][name] * (1 + 1e-9), (arm["label"], name)
            expected = pytest.approx(row[name], rel=0.2)
            assert arm["expected"][name] == expected, (arm["label"], name)
        assert arm["seconds"] > 0 and arm["seconds_upper"] >= arm["seconds"]
    for name in COMPARED:
        assert found["total"]["expected"][name] == pytest.approx(
            sum(arm["expected"][name] for arm in found["arms"])
        )


def test_nothing_is_asked_and_nothing_is_written(unstarted, capsys):
    words = ("backend=simulated", "task.n_problems=5", "task.max_tokens=200", "strategy.n=3")
    found = estimated(*words)
    (arm,) = found["arms"]
    assert arm["expected"]["completion_tokens"] == 5 * 3 * 100  # half of task.max_tokens
    assert arm["upper"]["completion_tokens"] == 5 * 3 * 200
    assert arm["seconds"] is None
    said = capsys.readouterr().out
    assert "assumed to be 100 tokens, half of task.max_tokens" in said
    assert "Speed: unknown." in said and "--tokens-per-second" in said
    assert [path.name for path in Path().iterdir()] == ["cost.json"]


def test_the_real_tokenizer_counts_the_prompts(unstarted):
    (arm,) = estimated("task.n_problems=3", "strategy=greedy")["arms"]
    assert 3 * 8 < arm["expected"]["prompt_tokens"] < 3 * 60
    assert arm["expected"]["flops"] > 2 * 500_000 * arm["expected"]["completion_tokens"]


def test_a_given_speed_tells_the_time(unstarted, capsys):
    words = ("backend=simulated", "task.n_problems=5", "task.max_tokens=200", "strategy=greedy")
    found = estimated(*words, "--tokens-per-second=50")
    assert found["total"]["seconds"] == 10.0 and found["total"]["seconds_upper"] == 20.0
    assert "10.0 s" in capsys.readouterr().out


def test_sweeps_and_repeats(unstarted):
    found = estimated("-m", "backend=simulated", "strategy.n=2,4", "task.n_problems=5", "repeats=3")
    assert [arm["label"] for arm in found["arms"]] == [
        "self_consistency n=2",
        "self_consistency n=4",
    ]
    assert [arm["expected"]["calls"] for arm in found["arms"]] == [30, 60]


def test_adaptive_arms_say_what_they_depend_on(unstarted, capsys):
    words = ("backend=simulated", "task.n_problems=20", "strategy.n=32", "controller=beta")
    often, seldom = (estimated(*words, f"--agreement={p}")["arms"][0] for p in (0.9, 0.3))
    assert often["expected"]["calls"] < seldom["expected"]["calls"]
    assert often["upper"] == seldom["upper"]
    assert "90% of a problem's samples give the commonest answer" in capsys.readouterr().out


def test_large_tasks_are_sampled_and_say_so(unstarted, capsys):
    (arm,) = estimated("backend=simulated", "task.n_problems=500", "strategy=greedy")["arms"]
    assert arm["expected"]["calls"] == 500 and arm["n_rehearsed"] == 200
    assert "Rehearsed on 200 of the problems" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["strategy.m=4"], "There is no field strategy.m."),
        (["strategy=best_of_n", "backend=simulated"], "BestOfN needs a verifier"),
        (["--nonsense"], "There is no option --nonsense."),
        (["--agreement=2"], "--agreement is 2.0; it must lie in [0, 1]."),
        (["--tokens-per-second=0"], "--tokens-per-second is 0; it must be above 0."),
        (["--tokens-per-second=fast"], "invalid float value"),
    ],
)
def test_bad_input_is_one_sentence(words, sentence, unstarted, capsys):
    assert main(["estimate", *words]) == 2
    assert sentence in capsys.readouterr().err.splitlines()[0]


def test_help_is_light():
    code = (
        "import sys; from tts.cli import main; assert main(['estimate', '--help']) == 0;"
        " heavy = {'hydra', 'vllm', 'torch', 'transformers', 'matplotlib', 'scipy', 'numpy'};"
        " assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=-3)
