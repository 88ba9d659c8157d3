"""`tts rescore`: figures from samples that are there, and no request to anyone."""

from __future__ import annotations

import json

import pytest

from tts.backends.simulated import SimulatedBackend
from tts.cli import main
from tts.cli.rescore import laws
from tts.evaluation.laws import fit_saturation
from tts.evaluation.rescoring import Rescored

ROWS = [
    {
        "id": f"p{i}",
        "prompt": f"{i}+1=",
        "answer": str(i + 1),
        "samples": [f"\\boxed{{{i + 1}}}", f"\\boxed{{{i + 1}.0}}", "The answer is 0.", "no idea"],
        "scores": [0.2, 0.3, 0.9, 0.1] if i % 2 else [0.9, 0.3, 0.2, 0.1],
    }
    for i in range(1, 21)
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def rescore(*words):
    return main(["rescore", *map(str, words)])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_a_file_of_samples(file, capsys):
    assert rescore(file, "--json", "out.json") == 0
    found = json.loads((file.parent / "out.json").read_text())
    assert (found["n_problems"], found["n_samples"]) == (20, [4, 4])
    assert found["pass@1"] == pytest.approx(0.5)
    assert found["pass@2"] == pytest.approx(5 / 6)
    assert found["pass@4"] == 1.0
    assert found["majority"] == 1.0
    assert found["weighted"] == found["best_of_n"] == pytest.approx(0.5)
    assert found["intervals"]["best_of_n"][0] < 0.5 < found["intervals"]["best_of_n"][1]
    assert found["problems"]["p1"]["correct"] == [True, True, False, False]
    out = capsys.readouterr().out
    assert "best-of-n" in out and "20 problems, 4 samples each" in out


@pytest.mark.parametrize(
    ("votes", "sentence"),
    [
        ({k: 1 - 0.7**k for k in (1, 2, 4, 8)}, "from k = 12 on"),
        ({1: 0.5, 2: 0.5, 4: 0.9}, "follows no saturating curve"),
    ],
)
def test_a_law_that_does_not_hold_is_not_told_as_one(votes, sentence):
    found = Rescored({}, 1, (8, 8), 1.0, saturation=fit_saturation(votes))
    (said,) = laws(found)
    assert sentence in said


def test_fields_and_ks_can_be_named(file):
    text = file.read_text().replace('"samples"', '"texts"').replace('"id"', '"key"')
    file.write_text(text)
    names = ("--field", "samples=texts", "--field", "id=key")
    assert rescore(file, *names, "--k", "1,3", "--json", "out.json") == 0
    found = json.loads((file.parent / "out.json").read_text())
    assert list(found["curves"]["majority"]) == ["1", "3"]


def test_another_reading_of_the_answers(file):
    words = ("task.answers={_target_: tts.tasks.ExactAnswers}", "--json", "out.json")
    assert rescore(file, *words) == 0
    found = json.loads((file.parent / "out.json").read_text())
    # Spelt otherwise is answered otherwise: three answers with a vote each, one of them right.
    assert found["pass@1"] == pytest.approx(0.25)
    assert found["majority"] == pytest.approx(1 / 3)


def test_a_run_is_scored_again_without_a_request(tmp_path, monkeypatch, capsys):
    words = ("backend=simulated", "task.n_problems=8", "strategy.n=4", "hydra.run.dir=run")
    assert main(["run", *words, "keep=tokens", "verifier=likelihood", "strategy=best_of_n"]) == 0
    row = json.loads((tmp_path / "run/summary.json").read_text())[0]

    def refuse(*_, **__):
        raise AssertionError("a request was made")

    monkeypatch.setattr(SimulatedBackend, "open", refuse)
    assert rescore("run", "--json", "out.json") == 0
    kept = json.loads((tmp_path / "out.json").read_text())["arms"]["best_of_n"]
    assert kept["best_of_n"] == pytest.approx(row["accuracy"])
    assert kept["pass@4"] == pytest.approx(row["coverage"])
    assert rescore("run", "verifier=likelihood", "--json", "again.json") == 0
    again = json.loads((tmp_path / "again.json").read_text())["arms"]["best_of_n"]
    assert again["best_of_n"] == kept["best_of_n"]
    assert again["problems"] == kept["problems"]


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (("nothing.jsonl",), "no file or folder nothing.jsonl", ""),
        (("empty",), "holds no config.yaml", "Name the folder of a run"),
        (("samples.jsonl", "--k", "0"), "argument --k", "--help"),
        (("samples.jsonl", "--k", "8"), "8 samples cannot be drawn from a pool of 4", ""),
        (("samples.jsonl", "--field", "sample=x"), "is not FIELD=NAME", "--help"),
        (("samples.jsonl", "--json", "no/where.json"), "no folder", ""),
        (("samples.jsonl", "strategy=greedy"), "says nothing of samples", "task.answers"),
        (("samples.jsonl", "verifier=likelihood"), "the samples hold none", "keep=tokens"),
        (("samples.jsonl", "task.answer=1"), "no field task.answer.", "mean task.answers?"),
        (("samples.jsonl", "verifier=nobody"), "nobody", ""),
        ((), "required", "--help"),
    ],
)
def test_bad_input_is_named(words, sentence, hint, file, capsys):
    (file.parent / "empty").mkdir()
    assert rescore(*words) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert hint in err
    assert "Traceback" not in err


def test_samples_without_ids_say_the_way_out(file, capsys):
    file.write_text(json.dumps({k: v for k, v in ROWS[0].items() if k != "id"}) + "\n")
    assert rescore(file) == 2
    assert "--field id=NAME" in capsys.readouterr().err
