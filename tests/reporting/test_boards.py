"""What stands side by side, and that its figures are those of the runs."""

from __future__ import annotations

import json

import pytest

from tests.reporting.made import folder, record
from tts.cli import main
from tts.evaluation.summary import Row
from tts.reporting.boards import boards
from tts.reporting.reading import read_run
from tts.reporting.sources import sources


def boarded(*paths):
    return boards([read_run(source) for source in sources(paths)[0]])


def test_the_figures_of_one_run_are_those_of_its_summary(tmp_path):
    arms = ('+arms.one=["strategy=greedy"]', '+arms.many=["strategy=self_consistency"]')
    words = ("backend=simulated", "task.n_problems=12", f"hydra.run.dir={tmp_path}", *arms)
    assert main(["run", *words]) == 0
    (board,) = boarded(tmp_path)
    written = json.loads((tmp_path / "summary.json").read_text())
    assert board.rows == [Row.model_validate(row) for row in written]
    assert board.simulated and board.graded


def test_equal_labels_of_several_runs_are_told_apart(tmp_path):
    paths = [folder(tmp_path / name, record()) for name in ("x", "y")]
    (board,) = boarded(*paths)
    assert [arm.label for arm in board.arms] == ["a (x)", "a (y)"]


def test_equal_labels_within_a_run_are_told_apart(tmp_path):
    path = folder(tmp_path, record(), record(configuration="another"))
    rows = json.loads((path / "summary.json").read_text())
    path.joinpath("summary.json").write_text(
        json.dumps([{**rows[0], "configuration": c} for c in ("hash of a", "another")])
    )
    labels = [arm.label for arm in boarded(path)[0].arms]
    assert len(set(labels)) == 2


@pytest.mark.parametrize(
    ("changed", "number"),
    [({}, 1), ({"gold": "2"}, 2), ({"asked": "beef"}, 2), ({"problem_id": "p9"}, 2)],
)
def test_runs_share_a_board_if_they_ask_the_same(tmp_path, changed, number):
    one = folder(tmp_path / "x", record(asked="cafe"))
    two = folder(tmp_path / "y", record(**{"asked": "cafe"} | changed))
    assert len(boarded(one, two)) == number


def test_a_board_without_right_answers_has_no_accuracy(tmp_path):
    unknown = {"gold": None, "correct": None, "candidates": ()}
    (board,) = boarded(folder(tmp_path, record(**unknown), record("p1", **unknown)))
    assert not board.graded and board.rows[0].accuracy is None


def test_curves_join_the_jobs_of_a_sweep_and_no_two_models(tmp_path):
    rows = [record(arm="a n=1", configuration="1"), record(arm="a n=2", configuration="2")]
    for n, (row, model) in enumerate(zip(rows * 2, "mmxx", strict=True)):
        path = folder(tmp_path / model / str(n), row)
        row = json.loads((path / "summary.json").read_text())[0]
        (path / "summary.json").write_text(json.dumps([row | {"series": "a", "model": model}]))
    assert len({row.series for row in boarded(tmp_path / "m")[0].rows}) == 2
    (tmp_path / "m/summary.json").write_text("[]")
    (tmp_path / "x/summary.json").write_text("[]")
    assert [row.series for row in boarded(tmp_path / "m")[0].rows] == ["a", "a"]
    assert [row.series for row in boarded(tmp_path)[0].rows] == ["a (m)"] * 2 + ["a (x)"] * 2
