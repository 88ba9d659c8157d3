"""Tables in cards: put in their places, and nowhere else."""

from __future__ import annotations

import json
import shlex
import sys

import pytest

from experiments.mini.cards import collected, fill, made_of
from experiments.mini.cards import main as write_card
from experiments.mini.tables import cell, markdown
from tts.cli import main
from tts.errors import ConfigError

CARD = """# A card
<!-- figures: levels -->
old
<!-- end of figures -->
Between.
<!-- figures: large auc -->
<!-- end of figures -->
"""
FIGURES = {
    "levels": {"pass@1": {"1": [0.5, 0.4, 0.6], "all": [0.5, 0.4, 0.6]}},
    "temperatures": {"0.2": {"all": [0.5, 0.4, 0.6]}},
    "best_temperature": 0.2,
    "curves": {"pass": {"1": [0.5, 0.4, 0.6]}, "majority": {"1": [0.5, 0.4, 0.6]}},
    "about": {"command": "c", "weights": "w", "versions": {}, "machine": {"cores": 2}},
}


def test_tables_are_put_in_their_places_and_nothing_else_changes():
    filled, left = fill(CARD, {"levels": "| new |", "other": "| nowhere |"})
    assert left == ["large auc"]
    assert "| new |" in filled
    assert "old" not in filled
    assert "nowhere" not in filled
    assert filled.startswith("# A card\n<!-- figures: levels -->\n")
    assert "\nBetween.\n<!-- figures: large auc -->\n<!-- end of figures -->\n" in filled


def test_filling_twice_changes_nothing_more():
    made = {"levels": "| a\\d |", "large auc": "| b |"}
    once, left = fill(CARD, made)
    assert not left
    assert fill(once, made) == (once, [])
    assert fill(once, {"levels": "| c |"})[0].count("| c |") == 1


@pytest.mark.parametrize("card", ["no place", "<!-- figures: levels -->\nno end"])
def test_a_card_without_places_is_refused(card):
    with pytest.raises(ConfigError, match="no place for a table"):
        fill(card, {"levels": "x"})


def test_a_place_must_end_before_the_next():
    card = "<!-- figures: a -->\n<!-- figures: b -->\n<!-- end of figures -->\n"
    with pytest.raises(ConfigError, match="without an end"):
        fill(card, {"a": "x"})


def test_cells():
    assert cell((0.12345, 0.1, 0.2)) == "0.123 [0.100, 0.200]"
    assert cell(None) == cell((None, None, None)) == cell((float("nan"),) * 3) == "–"
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_sources_are_told_apart_by_name(tmp_path):
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(FIGURES))
    made = collected([str(path), f"large={path}"])
    assert made["large levels"] == made["levels"]
    with pytest.raises(ConfigError, match="Two sources have a table 'levels'"):
        collected([str(path), str(path)])
    path.write_text("{}")
    with pytest.raises(ConfigError, match="holds no figures"):
        made_of(path)
    with pytest.raises(ConfigError, match="no file or folder"):
        made_of(tmp_path / "nowhere")


def test_the_headline_is_that_of_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("experiment=mini_headline", "backend=simulated", "task.n_problems=12")
    verifier = 'arms.best_of_n=["strategy=best_of_n","strategy.n=4","verifier=likelihood"]'
    assert main(["run", *words, verifier, "hydra.run.dir=out"]) == 0
    (table,) = made_of(tmp_path / "out").values()
    rows = json.loads((tmp_path / "out/summary.json").read_text())
    claims = json.loads((tmp_path / "out/claims.json").read_text())
    assert len(claims) == 3
    for row in rows:
        assert f"| {row['strategy']} | {row['accuracy']:.3f} [" in table
    for claim in claims:
        assert f"| {claim['what']} | 12 | 0.030 |" in table
        assert f"| {claim['verdict']} |" in table
    about = json.loads((tmp_path / "out/provenance.json").read_text())
    assert f"```sh\n{shlex.join(about['command'])}\n```" in table


def test_a_run_without_claims_makes_no_headline(tmp_path):
    with pytest.raises(ConfigError, match="no finished run with claims"):
        made_of(tmp_path)


def test_the_command_rewrites_the_card(tmp_path, monkeypatch, capsys):
    card, figures = tmp_path / "README.md", tmp_path / "figures.json"
    card.write_text(CARD)
    figures.write_text(json.dumps(FIGURES))
    words = ["--card", str(card), str(figures)]
    monkeypatch.setattr(sys, "argv", ["cards", *words])
    write_card()
    assert "| 1 | 0.500 [0.400, 0.600] |" in card.read_text()
    assert "Left as they were: large auc." in capsys.readouterr().out
