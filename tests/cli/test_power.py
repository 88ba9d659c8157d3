"""`tts power`: the answer, the table, the file, and what is refused."""

from __future__ import annotations

import json
import re

import pytest

from tests.demo import SIMULATED
from tts.cli import main
from tts.evaluation.pairs import Pair
from tts.evaluation.power import Plan, detectable, power, problems_needed


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
        (("--accuracy", "0.6", "--problems", "9", "--arms", "a,b"), "--arms"),
        (("--from", "nowhere"), "nowhere holds no results.jsonl"),
        (("--from", "nowhere", "--accuracy", "0.6"), "--accuracy: with --from it is measured"),
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


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pilot") / "run"
    words = (*SIMULATED, "task.n_problems=30", "repeats=2")
    assert main(["run", *words, f"hydra.run.dir={folder}"]) == 0
    return folder


def piloted(capsys, run, tmp_path, *words):
    file = tmp_path / "power.json"
    out = said(capsys, "--from", str(run), *words, "--json", str(file))
    return out, json.loads(file.read_text())


def test_a_run_is_measured_arm_by_arm_against_the_first(capsys, run, tmp_path):
    out, found = piloted(capsys, run, tmp_path)
    rows = json.loads((run / "summary.json").read_text())
    assert [f["pilot"]["arm"] for f in found["findings"]] == [r["strategy"] for r in rows[1:]]
    for finding, row in zip(found["findings"], rows[1:], strict=True):
        pilot = finding["pilot"]
        assert (pilot["problems"], pilot["repeats"], pilot["reference"]) == (30, 2, "greedy")
        assert pilot["arm_accuracy"] == pytest.approx(row["accuracy"])
        assert finding["difference"] == pytest.approx(row["difference"])
    assert "--comparisons 4 shares the error" in out


def test_what_follows_is_that_of_the_measured_figures(capsys, run, tmp_path):
    words = ("--arms", "best_of_n,greedy", "--difference", "0.05")
    out, found = piloted(capsys, run, tmp_path, *words)
    (finding,) = found["findings"]
    pilot, plan = finding["pilot"], Plan(repeats=2, within=finding["pilot"]["within"])

    def pair_of(difference):
        return Pair.correlated(pilot["reference_accuracy"], difference, pilot["correlation"])

    assert finding["needed"] == problems_needed(pair_of(0.05), plan)
    assert finding["smallest"] == detectable(pair_of, 30, plan)
    assert finding["power"] == power(pair_of(0.05), 30, plan)
    assert "post hoc" not in out
    assert f"{pilot['correlation']:.2f}" in out and f"{pilot['within']:.2f}" in out


def test_a_difference_of_the_run_itself_is_called_optimistic(capsys, run, tmp_path):
    out, found = piloted(capsys, run, tmp_path, "--arms", "best_of_n,greedy")
    assert '("post hoc") are optimistic' in out and "Fix --difference" in out
    assert found["observed"] and found["findings"][0]["power"] is None


def test_what_is_given_takes_the_place_of_what_the_run_has(capsys, run, tmp_path):
    words = ("--problems", "500", "--repeats", "3", "--within", "0.25", "--margin", "0.1")
    _, found = piloted(capsys, run, tmp_path, *words)
    for finding in found["findings"]:
        assert finding["problems"] == 500
        assert finding["plan"]["repeats"] == 3
        assert finding["plan"]["within"] == 0.25
        assert finding["difference"] == 0


def test_an_unfinished_run_goes_by_the_repeats_that_are_there(capsys, run, tmp_path):
    lines = (run / "results.jsonl").read_text().splitlines(keepends=True)
    later = [x for x in lines if '"arm":"best_of_n"' in x and '"repeat":1' in x]
    assert len(later) == 30
    (tmp_path / "results.jsonl").write_text("".join(x for x in lines if x not in later))
    out, found = piloted(capsys, tmp_path, tmp_path)
    repeats = {f["pilot"]["arm"]: f["plan"]["repeats"] for f in found["findings"]}
    assert repeats["best_of_n"] == 1 and repeats["self_consistency"] == 2
    assert "The arms differ in their repeats" in out


def test_arms_that_are_alike_need_no_end_of_problems(capsys, run, tmp_path):
    lines = (run / "results.jsonl").read_text().splitlines(keepends=True)
    twin = tmp_path / "twin"
    twin.mkdir()
    greedy = [line for line in lines[1:] if '"arm":"greedy"' in line and '"repeat":0' in line]
    copies = [line.replace('"arm":"greedy"', '"arm":"twin"') for line in greedy]
    (twin / "results.jsonl").write_text("".join([lines[0], *greedy, *copies]))
    out, found = piloted(capsys, twin, tmp_path)
    assert found["findings"][0]["needed"] is None
    assert found["findings"][0]["pilot"]["correlation"] == pytest.approx(1)
    assert "cannot be told from one repeat" in out
    out, _ = piloted(capsys, twin, tmp_path, "--repeats", "4")
    assert "one repeat; 0.5 is taken" in re.sub(r"\s+", " ", out)


@pytest.mark.parametrize(
    "words, named",
    [
        (("--arms", "best_of_n,nobody"), "no arm 'nobody'"),
        (("--arms", "greedy"), "--arms"),
        (("--difference", "0.99"), "difference"),
        (("--power", "2"), "power: 2"),
        (("--alpha", "2"), "alpha"),
        (("--within", "2"), "within"),
        (("--problems", "0"), "--problems"),
        (("--correlation", "0.5"), "--correlation"),
        (("--agreement", "0.5"), "--agreement"),
    ],
)
def test_a_run_cannot_be_asked_everything(capsys, run, words, named):
    capsys.readouterr()
    assert main(["power", "--from", str(run), *words]) == 2
    complaint = capsys.readouterr()
    assert named in complaint.err.splitlines()[0]
    assert complaint.out == ""


def test_help_shows_examples(capsys):
    assert "tts power --accuracy 0.6 --difference 0.05" in said(capsys, "--help")
