"""Accuracy by difficulty."""

from __future__ import annotations

from tests.reporting.made import folder, record
from tests.reporting.test_boards import boarded
from tts.evaluation.statistics import accuracy
from tts.reporting.levels import breakdown


def board(tmp_path, table):
    """A board of arms by label, each with its marks problem by problem."""
    rows = [
        record(f"p{i}", arm, correct=bool(mark), answer="1" if mark else "2")
        for arm, marks in table.items()
        for i, mark in enumerate(marks)
    ]
    return boarded(folder(tmp_path, *rows))[0]


def test_levels_of_the_task_are_taken_where_there_are_some(tmp_path):
    found = breakdown(board(tmp_path, {"a": [1, 1, 0, 1]}), {"p0": "10", "p1": "9", "p2": "9"})
    assert found.given and found.bins == ("9", "10") and found.sizes == (2, 1)
    ((_, cells),) = found.lines
    assert [cell.n for cell in cells] == [2, 1]
    assert cells[0].interval == accuracy({"p1": [True], "p2": [False]})


def test_without_levels_the_share_of_attempts_tells(tmp_path):
    marks = {"a": [0, 0, 1, 1], "b": [0, 0, 0, 1], "c": [0, 1, 1, 1], "d": [0, 0, 1, 1]}
    found = breakdown(board(tmp_path, marks), {})
    assert not found.given
    assert found.bins == ("none right", "up to 25%", "50 to 75%", "all right")
    means = {arm.label: [cell.interval.mean for cell in cells] for arm, cells in found.lines}
    assert means["c"] == [0, 1, 1, 1] and means["b"] == [0, 0, 0, 1]


def test_few_attempts_or_one_level_make_no_bins(tmp_path):
    few = board(tmp_path / "few", {"a": [0, 1, 1], "b": [0, 0, 1]})
    assert breakdown(few, {}) is None
    assert breakdown(few, dict.fromkeys(("p0", "p1", "p2"), "1")) is None


def test_the_picture_has_the_reference_and_few_others(tmp_path):
    marks = {f"a{i}": [1] * i + [0] * (12 - i) for i in range(12)}
    found = breakdown(board(tmp_path, marks), {f"p{i}": str(i % 2) for i in range(12)})
    assert len(found.lines) == 12 and len(found.drawn) <= 6
    labels = [arm.label for arm, _ in found.drawn]
    assert labels[0] == "a0" and "a11" in labels
