"""Rows, tables, progress and provenance."""

from __future__ import annotations

import io
import json
import sys

import pytest
from rich.console import Console

import tts
from tts.evaluation import Arm, Names, Outcome, Row
from tts.evaluation.progress import Display
from tts.evaluation.provenance import provenance
from tts.evaluation.report import markdown, notes, show, title
from tts.evaluation.summary import dump
from tts.solve import Setup
from tts.testing import LengthVerifier, World
from tts.types import Spent, Usage

CONTRACT = """strategy task model backend n_problems n_failed accuracy accuracy_low accuracy_high
    prompt_tokens cached_tokens completion_tokens sequential_tokens verifier_tokens verifier_calls
    flops seconds seed""".split()
NAMES = Names(strategy_name="any", task="toy", model="some-model", backend="vllm", seed=3)


def outcomes(right, *, n=10, tokens=100, failed=0):
    usage = Usage(7 * n, 3, tokens, 0, 5, 2, 1, 1e6, 0.5, 1.0, tokens // 2)
    return [
        Outcome(
            problem_id=f"p{i}",
            repeat=0,
            status="failed" if i < failed else "done",
            correct=0 <= i - failed < right,
            covered=0 <= i - failed < right,
            answered=True,
            usage=usage,
            elapsed=float(i),
        )
        for i in range(n)
    ]


def row(right, label="a", names=NAMES, **how):
    return Row.of(label, names, "hash", outcomes(right, **how))


def test_the_contract_of_the_summary():
    entries = json.loads(dump([row(5, tokens=100), row(8, "b", tokens=800)]))
    assert [entry["strategy"] for entry in entries] == ["a", "b"]
    for entry in entries:
        assert set(CONTRACT) <= entry.keys()
    first = entries[0]
    assert (first["completion_tokens"], first["sequential_tokens"]) == (1000, 500)
    assert (first["verifier_tokens"], first["verifier_calls"], first["flops"]) == (50, 20, 1e7)
    assert (first["seconds"], first["seed"], first["accuracy"]) == (9.0, 3, 0.5)
    assert first["accuracy_low"] < 0.5 < first["accuracy_high"]


def test_failed_problems_are_in_no_accuracy():
    some = row(4, failed=2)
    assert (some.n_problems, some.n_failed, some.accuracy) == (10, 2, 0.5)
    assert some.completion_tokens == 1000  # spent all the same
    assert "2 of 10 problems failed" in notes([some])[0]


def test_the_price_of_a_point():
    cheap, dear = row(5, tokens=100), row(8, tokens=400)
    assert dear.price_of_a_point(cheap) == pytest.approx(300 / 30)
    assert cheap.price_of_a_point(dear) is None
    assert cheap.price_of_a_point(cheap) is None


def test_the_paired_comparison():
    more = row(8).against(outcomes(8), outcomes(5))
    assert (more.difference, more.wins, more.losses) == (pytest.approx(0.3), 3, 0)
    assert more.p_value == pytest.approx(0.25)


def test_tables():
    rows = [row(5), row(8, "b", tokens=800).against(outcomes(8), outcomes(5))]
    text = markdown(rows)
    assert "| a | 50.0 [20.0, 80.0] | 100 | 50 | 2.0 |" in text
    assert "| b | +30.0 [+0.0, +60.0] | 3 | 0 | 0.250 |" in text
    for width in (60, 80, 120):
        console = Console(width=width, file=io.StringIO(), highlight=False)
        show(rows, console)
        printed = console.file.getvalue()
        assert "some-model on toy, 10 problems" in printed
        assert max(map(len, printed.splitlines())) <= width


def test_the_rows_that_nobody_beats_are_named():
    rows = [row(5), row(4, "b", tokens=200), row(8, "c", tokens=300)]
    assert notes(rows) == [
        "No row is as accurate for fewer completion tokens (Pareto front): a, c."
    ]
    assert notes(rows[:2]) == []


def test_simulated_figures_say_so():
    names = NAMES.model_copy(update={"backend": "simulated"})
    assert "simulated" in title([row(5, names=names)])
    assert "simulated" not in title([row(5)])
    assert "Simulated" in markdown([row(5, names=names)])


# --- progress ---------------------------------------------------------------------------------


def shown(*, terminal, budget=None):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    setup = Setup(strategy=tts.Greedy(), backend=World().backend(), budget=budget)
    with Display(console) as display:
        display.begin(Arm("greedy", setup, NAMES), 10, outcomes(2, n=4))
        for record in outcomes(3, n=10)[4:]:
            display.on_event(Spent(record.problem_id, Usage(completion_tokens=100)))
            display.keep(record)
        display.end(row(5))
        display.say("a line")
    return console.file.getvalue()


def test_plain_lines_where_nobody_sees_them_move():
    text = shown(terminal=False, budget=tts.Budget(completion_tokens=120))
    assert "\x1b" not in text and "\r" not in text
    first, last = text.splitlines()
    assert first.startswith("greedy: 10/10 problems, ")
    assert "accuracy 20.0%" in first
    assert "budget left 17%" in first  # ten problems of 100 tokens, and 120 for each
    assert last == "a line"


def test_a_moving_line_on_a_terminal():
    text = shown(terminal=True)
    assert "greedy" in text and "10/10" in text and "accuracy" in text
    assert text.endswith("a line\n")


# --- provenance -------------------------------------------------------------------------------


class Hashed:
    def __init__(self, inner):
        self.model = inner.model

    def provenance(self):
        return {"weights": "1234"}


def test_provenance():
    backend = World().backend()
    about = provenance({"seed": 1}, [backend, Hashed(backend)], [LengthVerifier()], ["tts", "run"])
    assert json.loads(json.dumps(about)) == about
    assert about["versions"]["python"] == sys.version.split()[0]
    assert about["versions"]["tts"] == tts.__version__
    assert [b.get("weights") for b in about["backends"]] == [None, "1234"]
    assert about["machine"]["cores"] >= 1 and about["machine"]["cpu"]
    assert about["command"] == ["tts", "run"]
    assert len(about["code"].get("commit", "0" * 40)) == 40
