"""`tts analyse`: a table, a picture and figures of what a run has left."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.analysis.thoughts import CORRECTED, DOUBTING
from tests.evaluation.thinkers import record, tree, written
from tts.cli import main

SMALL = ("backend=simulated", "task.n_problems=4", "hydra.run.dir=run")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def thinker(tmp_path):
    pairs = [
        (record("a", ["66", "66"]), tree("a", [DOUBTING, CORRECTED])),
        (record("b", ["66"], gold="67"), tree("b", [DOUBTING])),
    ]
    return written(tmp_path / "thinker", pairs)


def analyse(*words):
    return main(["analyse", *map(str, words)])


def test_chains_that_think(thinker, capsys):
    assert analyse(thinker, "--json", "out.json") == 0
    found = json.loads((thinker.parent / "out.json").read_text())["arms"]["votes"]
    assert (found["right"]["chains"], found["wrong"]["chains"]) == (2, 1)
    assert found["right"]["failed"]["mean"] == pytest.approx(0.2)
    assert found["wrong"]["reflections"]["mean"] == 2
    out = capsys.readouterr().out
    assert "right" in out and "failed steps %" in out and "analysis.md, analysis.png" in out
    assert "failed steps %" in (thinker / "analysis.md").read_text()
    assert (thinker / "analysis.png").read_bytes().startswith(b"\x89PNG")


def test_tags_and_words_can_be_named(thinker, capsys):
    words = ("--thinking", "reflections=Alternatively", "--thinking", r"step=\n\n")
    assert analyse(thinker, *words, "--json", "out.json") == 0
    found = json.loads((thinker.parent / "out.json").read_text())["arms"]["votes"]
    assert found["right"]["reflections"]["mean"] == 0
    assert "No step begins with a word of reflection" in capsys.readouterr().out


def test_the_run_says_how_its_model_thinks(thinker):
    node = {"_target_": "tts.Thinking", "start": "<think>", "reflections": ["48-29"]}
    (thinker / "config.yaml").write_text(yaml.safe_dump({"thinking": node}))
    assert analyse(thinker, "--json", "out.json") == 0
    found = json.loads((thinker.parent / "out.json").read_text())["arms"]["votes"]
    assert found["wrong"]["reflections"]["mean"] == 1


def test_a_run_of_a_model_that_does_not_think(tmp_path, capsys):
    assert main(["run", *SMALL, "keep=tokens", "strategy=self_consistency", "strategy.n=3"]) == 0
    assert analyse("run", "--arm", "self_consistency", "--json", "out.json") == 0
    found = json.loads((tmp_path / "out.json").read_text())["arms"]["self_consistency"]
    assert sum(kind["chains"] for kind in found.values()) == 12
    # A new run moves what was made of the old one aside with it.
    assert main(["run", *SMALL, "seed=1"]) == 0
    assert (tmp_path / "run/earlier/1/analysis.png").exists()
    assert not (tmp_path / "run/analysis.md").exists()


def test_a_run_without_texts_says_how_to_keep_them(capsys):
    assert main(["run", *SMALL, "keep=nothing"]) == 0
    assert analyse("run") == 2
    err = capsys.readouterr().err
    assert "kept no texts" in err and "keep=texts" in err


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (("nowhere",), "no folder nowhere", "the folder of a run"),
        (("thinker/..",), "holds no results.jsonl", "the folder of a run"),
        (("thinker", "--arm", "vote"), "has no arm vote", "Did you mean votes?"),
        (("thinker", "--json", "no/where.json"), "no folder", ""),
        (("thinker", "--thinking", "stop=x"), "is not FIELD=VALUE", "--help"),
        (("thinker", "--thinking", "step="), "must not be empty", "--help"),
        (("thinker", "--thinking", "reflections=a,,b"), "must not be empty", "--help"),
        ((), "FOLDER", "--help"),
    ],
)
def test_what_cannot_be_analysed(thinker, words, sentence, hint, capsys):
    assert analyse(*words) == 2
    err = capsys.readouterr().err
    assert sentence in err and hint in err
    assert "Traceback" not in err


def test_help_names_the_options(capsys):
    assert analyse("--help") == 0
    out = capsys.readouterr().out
    assert "--thinking FIELD=VALUE" in out and "</reasoning>" in out


def test_samples_are_chosen_by_their_chains(tmp_path, capsys):
    """The shortest is right on the one problem, the one without a failed step on the other."""
    right, wrong = DOUBTING, CORRECTED.replace("66", "65")
    pools = {"a": [right, wrong], "b": [right, wrong.replace("58-29=29 => 47+29\n\n", "")]}
    rows = [
        {"id": name, "prompt": name, "answer": "66", "samples": texts}
        for name, texts in pools.items()
    ]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["rescore", "s.jsonl", "--chains", "--json", "out.json"]) == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["pass@1"] == 0.5 and found["fewest_failed"] == 1.0
    lengths = [[len(text) for text in texts] for texts in pools.values()]
    assert found["shortest"] == sum(own[0] < own[1] for own in lengths) / 2 == 0.5
    assert "most_confident" not in found["curves"]
    assert "fewest failed steps" in capsys.readouterr().out
    assert main(["rescore", "s.jsonl", "--thinking", "end=x"]) == 2
    assert "Add --chains" in capsys.readouterr().err


def test_the_most_confident_is_the_likeliest(tmp_path):
    assert main(["run", *SMALL, "keep=tokens", "verifier=likelihood", "strategy=best_of_n"]) == 0
    assert main(["rescore", "run", "--chains", "--json", "out.json"]) == 0
    found = json.loads((tmp_path / "out.json").read_text())["arms"]["best_of_n"]
    assert found["curves"]["most_confident"] == found["curves"]["best_of_n"]
