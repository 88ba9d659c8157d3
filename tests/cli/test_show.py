"""`tts show`: a page and a text of what a run has left."""

from __future__ import annotations

import json

import pytest

from tests.evaluation.test_tree_page import Page
from tts.cli import main
from tts.evaluation.store import TREES

ARMS = (
    '+arms.greedy=["strategy=greedy"]',
    '+arms.five=["strategy=self_consistency","strategy.n=5"]',
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two arms on four problems."""
    folder = tmp_path_factory.mktemp("shown") / "run"
    words = ("backend=simulated", "task.n_problems=4", f"hydra.run.dir={folder}", *ARMS)
    assert main(["run", *words]) == 0
    return folder


def show(*words):
    return main(["show", *map(str, words)])


def page(path):
    return Page(path.read_text(encoding="utf-8"))


def test_a_run_is_shown_on_a_page_and_in_the_terminal(run, capsys):
    assert show(run) == 0
    found = page(run / "trees.html")
    assert len(found.options) == 8
    with (run / TREES).open() as file:
        trees = [json.loads(line) for line in file if '"nodes"' in line]
    assert len(found.nodes) == sum(1 + len(tree["nodes"]) for tree in trees)
    texts = {node["title"].partition("\n\n")[2] for node in found.nodes.values()}
    assert {node["text"] for tree in trees for node in tree["nodes"]} <= texts
    out = capsys.readouterr().out
    assert "●" in out and "85+75=" in out and "The answer is" in out
    assert "this tree and 7 more" in out.replace("\n", " ")


def test_one_tree_can_be_chosen(run, tmp_path, capsys):
    assert show(run, "--problem", "mini-test-2-0", "--arm", "five", "--out", "one.html") == 0
    found = page(tmp_path / "one.html")
    assert found.tags["section"] == 1 and not found.options
    out = capsys.readouterr().out
    assert "mini-test-2-0, five" in out and "one.html shows this tree." in out
    assert "--problem chooses among 4" in out and "greedy, five" in out


def test_text_alone_writes_nothing(run, tmp_path, capsys):
    (run / "trees.html").unlink(missing_ok=True)
    assert show(run, "--arm", "five", "--text", "--most", "1") == 0
    assert not (run / "trees.html").exists() and not list(tmp_path.iterdir())
    assert "3 of 5 pieces are folded." in capsys.readouterr().out


def test_a_question_of_a_task_that_is_gone_is_left_out(tmp_path, capsys):
    rows = [{"id": "a", "question": "1+1=", "answer": "2"}]
    (tmp_path / "task.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = ("task=jsonl", "task.path=task.jsonl", "hydra.run.dir=run")
    assert main(["run", "backend=simulated", *task]) == 0
    assert show("run", "--text") == 0
    assert "1+1=" in capsys.readouterr().out
    (tmp_path / "task.jsonl").write_text(json.dumps(rows[0] | {"answer": "3"}) + "\n")
    assert show("run", "--text") == 0
    assert "1+1=" not in capsys.readouterr().out
    (tmp_path / "task.jsonl").unlink()
    assert show("run", "--text") == 0
    assert "questions are not shown" in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (("nowhere",), "no folder nowhere", "the folder of a run"),
        (("{run}/..",), "holds no results.jsonl", "such as"),
        (("{run}", "--problem", "mini-test-1"), "has no problem mini-test-1", "mini-test-1-0?"),
        (("{run}", "--problem", "x"), "has no problem x", "There are 4: mini-test-1-0"),
        (("{run}", "--arm", "grady"), "has no arm grady", "Did you mean greedy?"),
        (("{run}", "--arm", "five", "--repeat", "2"), "arm five, has no repeat 2", "only 0"),
        (("{run}", "--most", "-1"), "--most is -1", ""),
        (("{run}", "--out", "no/where.html"), "no folder", ""),
        (("{run}", "--out", "a.html", "--text"), "not allowed with", "--help"),
        ((), "FOLDER", "--help"),
    ],
)
def test_what_cannot_be_shown(run, words, sentence, hint, capsys):
    assert show(*(word.format(run=run) for word in words)) == 2
    err = capsys.readouterr().err
    assert sentence in err and hint in err


def test_a_run_without_trees_says_how_to_keep_them(capsys):
    assert (
        main(["run", "backend=simulated", "task.n_problems=2", "hydra.run.dir=run", "keep=nothing"])
        == 0
    )
    assert show("run") == 2
    err = capsys.readouterr().err
    assert "kept no trees" in err and "keep=texts" in err


def test_help_names_the_options(capsys):
    assert show("--help") == 0
    assert "--problem ID" in capsys.readouterr().out
