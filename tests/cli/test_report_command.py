"""`tts report`: a page of what runs have left, figures and a table."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest

from tests.reporting.test_page import Page
from tts.cli import main

ARMS = (
    '+arms.greedy=["strategy=greedy"]',
    '+arms.five=["strategy=self_consistency","strategy.n=5"]',
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two arms on eight problems of several levels."""
    folder = tmp_path_factory.mktemp("reported") / "run"
    words = ("backend=simulated", "task.n_problems=8", f"hydra.run.dir={folder}", *ARMS)
    assert main(["run", *words]) == 0
    return folder


def report(*words):
    return main(["report", *map(str, words)])


def test_a_run_becomes_a_page(run, tmp_path, capsys):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert report(run) == 0
    page = Page((tmp_path / "report.html").read_text())
    assert len(page.classed("problem")) == 8 and len(page.classed("attempt")) == 16
    assert "85+75=" in page.text and "level 1" in page.text and "simulated" in page.text
    assert "report.html holds 2 arms of 1 run." in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_the_same_runs_make_the_same_page(run, tmp_path):
    for name in ("one.html", "two.html"):
        assert report(run, "--out", name, "--title", "Votes") == 0
    one, two = ((tmp_path / name).read_text() for name in ("one.html", "two.html"))
    assert one == two and "<h1>Votes</h1>" in one


def test_figures_and_a_table_for_a_paper(run, tmp_path):
    assert report(run, "--figures", "figs", "--problems", "0") == 0
    names = {path.name for path in (tmp_path / "figs").iterdir()}
    assert {"arms.tex", "accuracy_by_difficulty.svg", "accuracy_vs_flops.png"} <= names
    assert {name[:-4] for name in names if name.endswith(".png")} == {
        name[:-4] for name in names if name.endswith(".svg")
    }
    root = ET.parse(tmp_path / "figs/accuracy_vs_completion_tokens.svg").getroot()
    texts = {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"greedy", "five", "Simulated", "Pareto front"} <= texts
    assert "Simulated: these figures" in (tmp_path / "figs/arms.tex").read_text()


def test_a_sweep_is_one_board_with_a_curve(tmp_path):
    words = ("backend=simulated", "task.n_problems=6", "strategy=self_consistency")
    assert main(["run", *words, "-m", "strategy.n=2,4", "hydra.sweep.dir=sweep"]) == 0
    assert report("sweep") == 0
    text = (tmp_path / "report.html").read_text()
    assert len(re.findall('<th scope="row">self_<wbr>consistency', text)) >= 2
    (key,) = re.findall('aria-label="Series">(.*?)</ul>', text, re.DOTALL)
    assert key.count("<li>") == 1


def test_questions_of_a_task_that_is_gone_are_left_out(tmp_path):
    rows = [{"id": "a", "question": "1+1=", "answer": "2"}]
    (tmp_path / "task.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = ("task=jsonl", "task.path=task.jsonl", "hydra.run.dir=run")
    assert main(["run", "backend=simulated", *task]) == 0
    assert report("run") == 0
    assert "1+1=" in (tmp_path / "report.html").read_text()
    (tmp_path / "task.jsonl").unlink()
    assert report("run") == 0
    page = Page((tmp_path / "report.html").read_text())
    assert "1+1=" not in page.text and "The questions of run are not shown" in page.text


def test_what_holds_no_run_is_named(run, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert report(run, "empty") == 0
    assert "Left out: empty: no results.jsonl in it." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (("nowhere",), "no folder nowhere", "the folder of a run"),
        (("{empty}",), "there is no run", "tts run"),
        (("{run}", "--problems", "-1"), "--problems is -1", ""),
        (("{run}", "--problems", "many"), "invalid int", "--help"),
        (("{run}", "--out", "no/where.html"), "no folder", ""),
        (("{run}", "--out", "{empty}"), "is a folder", "--out report.html"),
        (("{run}", "--figures", "{run}/config.yaml"), "is no folder", ""),
        ((), "RESULTS", "--help"),
    ],
)
def test_what_cannot_be_reported(run, tmp_path, words, sentence, hint, capsys):
    (tmp_path / "empty").mkdir()
    assert report(*(w.format(run=run, empty=tmp_path / "empty") for w in words)) == 2
    err = capsys.readouterr().err
    assert sentence in err and hint in err
    assert not (tmp_path / "report.html").exists()


def test_help_names_the_options(capsys):
    assert report("--help") == 0
    out = capsys.readouterr().out
    assert "--figures DIR" in out and "--problems N" in out
