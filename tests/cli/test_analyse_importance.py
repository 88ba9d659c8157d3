"""`tts analyse --importance`: a model reads the chains of a run, one step at a time left out."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.analysis.thoughts import CORRECTED, DOUBTING
from tests.evaluation.thinkers import record, tree, written
from tts.cli import main
from tts.tasks import MiniTask

COPIER = ("backend=copier", "--config-dir", "configs")
NAMES = [item.problem.id for item in MiniTask(n_problems=6)]
CONFIG = {
    "task": {"_target_": "tts.tasks.MiniTask", "n_problems": 6},
    "model": {"name": "mini-thinker", "sampling": {}, "engine": {}, "prices": {}},
    "backend": {"_target_": "tts.backends.arithmetic.simulated_arithmetic"},
    "thinking": {"_target_": "tts.Thinking", "lead": "\\boxed{"},
}


@pytest.fixture(autouse=True)
def thinker(tmp_path, monkeypatch):
    """A run of six problems, half of them wrong, and a backend that reads without a model."""
    monkeypatch.chdir(tmp_path)
    pairs = [
        (record(name, ["66"], gold="66" if n % 2 else "65"), tree(name, [text]))
        for n, (name, text) in enumerate(zip(NAMES, [DOUBTING, CORRECTED] * 3, strict=True))
    ]
    folder = written(tmp_path / "thinker", pairs)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (tmp_path / "configs/backend").mkdir(parents=True)
    node = {"_target_": "tests.analysis.copier.Copier"}
    (tmp_path / "configs/backend/copier.yaml").write_text(yaml.safe_dump(node))
    return folder


def analyse(*words):
    return main(["analyse", "thinker", *map(str, words)])


def found(path="out.json"):
    with open(path) as file:
        return json.load(file)["importance"]


def test_the_steps_of_a_sample_are_weighed(thinker, capsys):
    assert analyse("--importance", *COPIER, "--json", "out.json") == 0
    (effect,) = [e for e in found()["effects"] if (e["step"], e["kind"]) == ("plain", "right")]
    assert (effect["steps"], effect["problems"], effect["helps"]["mean"]) == (12, 3, 0.25)
    assert len(found()["chains"]) == 6
    for chain in found()["chains"]:  # what stands twice is not missed
        values = [step["importance"] for step in chain["steps"]]
        again = chain["steps"][4]["kind"] == "recheck"
        assert values == pytest.approx([1, 1, 1, 1, 1 if again else 4])
    assert found()["usage"]["calls"] == 6 * (1 + 5) * 3
    out = capsys.readouterr().out
    assert "re-checks, wrong" in out and "108 requests" in out and "as copier finds it" in out
    assert "analysis.md, analysis.png, importance.md, importance.png" in out
    assert "plain steps, right" in (thinker / "importance.md").read_text()
    assert (thinker / "importance.png").read_bytes().startswith(b"\x89PNG")


def test_the_sample_and_the_steps_can_be_chosen(capsys):
    words = ("--importance", *COPIER, "--json", "out.json", "--limit", 2, "--steps", "recheck")
    assert analyse(*words) == 0
    first = [chain["id"] for chain in found()["chains"]]
    assert len(first) == 2 and {effect["step"] for effect in found()["effects"]} == {"recheck"}
    drawn = set()
    for seed in range(3):
        assert analyse(*words, "--seed", seed) == 0
        drawn.add(tuple(chain["id"] for chain in found()["chains"]))
    assert tuple(first) in drawn and len(drawn) > 1


def test_phrasings_can_be_given(capsys):
    assert analyse("--importance", *COPIER, "--phrasing", r"zu\n={answer}", "--limit", 1) == 2
    assert "copier has no tokens for a phrasing" in capsys.readouterr().err
    assert analyse("--importance", *COPIER, "--phrasing", r"is\n={answer}", "--limit", 1) == 0
    assert "6 requests" in capsys.readouterr().out


def test_phrasings_that_a_model_has_no_tokens_for_are_left_out(capsys):
    node = {"_target_": "tests.analysis.copier.Copier", "words": "\\boxed{}"}
    with open("configs/backend/copier.yaml", "w") as file:
        yaml.safe_dump(node, file)
    assert analyse("--importance", *COPIER, "--limit", 1) == 0
    out = capsys.readouterr().out
    assert "2 of the usual phrasings are left out" in out and "6 requests" in out


def test_chains_that_do_not_fit_are_counted(capsys):
    node = {
        "_target_": "tests.analysis.copier.Copier",
        "context": len(CORRECTED) - len("\\boxed{66}"),
    }
    with open("configs/backend/copier.yaml", "w") as file:
        yaml.safe_dump(node, file)
    assert analyse("--importance", *COPIER, "--phrasing", "{answer}", "--json", "out.json") == 0
    assert len(found()["chains"]) == 3
    assert "3 chains were left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (("--importance",), "cannot read given texts", "model=..."),
        (("--importance", *COPIER, "strategy=greedy"), "says nothing of samples", "the backend"),
        (("--importance", *COPIER, "task.n_problems=1"), "The task has no problem", "was run"),
        (("--importance", "--limit", "0"), "--limit is 0", ""),
        (("--importance", "--steps", "plain,odd"), "is not some of plain", "--help"),
        (("--importance", *COPIER, "--phrasing", "so"), "one {answer}", "{answer}."),
        (("--importance", "--arm", "vote", *COPIER), "has no arm vote", "votes"),
        (("--importance", *COPIER, "--steps", "change"), "has a step that could", "--thinking"),
        (("--importance", "model=mini-thinkr"), "no model 'mini-thinkr'", "mini-thinker"),
        (("--limit", "5"), "--limit says nothing without", "Add --importance"),
        (("model=mini-thinker",), "says nothing without --importance", "Add --importance"),
    ],
)
def test_what_cannot_be_weighed_is_refused(words, sentence, hint, capsys):
    assert analyse(*words) == 2
    err = capsys.readouterr().err
    assert sentence in err and hint in err
    assert "Traceback" not in err
