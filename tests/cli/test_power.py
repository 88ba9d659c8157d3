"""`tts power`: the answer, the table, the file, and what is refused."""

from __future__ import annotations

import json

import pytest

from tts.cli import main
from tts.evaluation.pairs import Pair
from tts.evaluation.power import Plan, problems_needed


def said(capsys, *words):
    assert main(["power", *words]) == 0
    return capsys.readouterr().out


def test_a_difference_is_answered_by_a_number_of_problems(capsys, tmp_path):
    file = tmp_path / "power.json"
    out = said(capsys, "--accuracy", "0.6", "--difference", "0.05", "--json", str(file))
    needed = problems_needed(Pair.correlated(0.6, 0.05, 0.6), Plan())
    assert out.startswith(f"{needed} problems show with a probability of 80%")
    found = json.loads(file.read_text())
    assert found["needed"] == needed
    row = next(step for step in found["table"] if step["problems"] == needed)
    assert row["power"] >= 0.8
    assert row["smallest"] == pytest.approx(0.05, abs=1e-4)
    smallest = [step["smallest"] for step in found["table"]]
    assert smallest == sorted(smallest, reverse=True)


def test_a_number_of_problems_is_answered_by_a_difference(capsys):
    one = said(capsys, "--accuracy", "0.6", "--problems", "200")
    four = said(capsys, "--accuracy", "0.6", "--problems", "200", "--comparisons", "4")
    assert "a gain over a reference at 60.0% of 8.9 points or more" in one
    assert "of 10.4 points or more" in four
    assert "power for" not in one
    assert "4 comparisons together" in four


def test_both_are_answered_by_a_probability(capsys):
    words = ("--accuracy", "0.6", "--difference", "0.05", "--problems", "300")
    assert said(capsys, *words).startswith("300 problems show with a probability of 47%")


def test_a_margin_is_answered_for_equal_arms(capsys):
    words = ("--accuracy", "0.7", "--margin", "0.02", "--agreement", "0.9")
    once, often = said(capsys, *words), said(capsys, *words, "--repeats", "4")
    assert "truly equal to a reference at 70.0% is worse by less than 2 points" in once
    needed = [int(out.split()[0].replace(",", "")) for out in (once, often)]
    assert needed[1] == pytest.approx(needed[0] * 0.625, abs=2)


def test_too_few_problems_show_nothing(capsys):
    out = said(capsys, "--accuracy", "0.9", "--problems", "4")
    assert out.startswith("4 problems show no difference")


@pytest.mark.parametrize(
    "words, named",
    [
        ((), "--accuracy"),
        (("--accuracy", "0.6"), "nothing is asked"),
        (("--accuracy", "x", "--problems", "9"), "--accuracy"),
        (("--accuracy", "1.6", "--problems", "9"), "accuracy: 1.6"),
        (("--accuracy", "0.6", "--problems", "0"), "--problems"),
        (("--accuracy", "0.6", "--difference", "0"), "difference"),
        (("--accuracy", "0.6", "--difference", "0.6"), "difference"),
        (("--accuracy", "0.6", "--difference", "nan"), "difference"),
        (("--accuracy", "0.6", "--difference", "0.1", "--agreement", "0.95"), "agreement"),
        (("--accuracy", "0.6", "--difference", "0.1", "--correlation", "2"), "correlation"),
        (("--accuracy", "0.6", "--difference", "0.1", "--alpha", "0"), "alpha"),
        (("--accuracy", "0.6", "--difference", "0.1", "--power", "1"), "power"),
        (("--accuracy", "0.6", "--difference", "0.1", "--comparisons", "0"), "comparisons"),
        (("--accuracy", "0.6", "--difference", "0.1", "--repeats", "0"), "repeats"),
        (("--accuracy", "0.6", "--difference", "0.1", "--within", "2"), "within"),
        (("--accuracy", "0.6", "--margin", "0"), "margin"),
        (("--accuracy", "0.6", "--margin", "0.02", "--difference", "-0.03"), "difference"),
        (("--accuracy", "0.6", "--difference", "1e-7"), "difference"),
        (("--accuracy", "0.6", "--agreement", "0.9", "--correlation", "0.5"), "--correlation"),
    ],
)
def test_bad_input_is_named(capsys, words, named):
    assert main(["power", *words]) == 2
    complaint = capsys.readouterr()
    assert named in complaint.err.splitlines()[0]
    assert complaint.out == ""


def test_help_shows_examples(capsys):
    assert "tts power --accuracy 0.6 --difference 0.05" in said(capsys, "--help")
