"""One budget for all problems of a run, divided by `controller=allocation`."""

from __future__ import annotations

import pytest

from tests.folders import lines, summary
from tts.cli import main

RUN = ("run", "backend=simulated", "task.n_problems=12", "strategy.n=40", "hydra.run.dir=out")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_problems_share_the_budget_of_the_run():
    assert main([*RUN, "controller=allocation", "total_budget.calls=120"]) == 0
    (row,) = summary("out")
    assert (row["controller"], row["calls"]) == ("allocation", 120)
    drawn = [len(line["candidates"]) for line in lines("out")]
    assert min(drawn) >= 3 and max(drawn) > min(drawn)
    reasons = [d["reason"] for line in lines("out") for d in line["decisions"]]
    assert any("place 1 of" in reason for reason in reasons)


def test_few_at_a_time_share_it_as_well():
    words = ("controller=allocation", "total_budget.calls=120", "concurrency=4")
    assert main([*RUN, *words]) == 0
    drawn = [len(line["candidates"]) for line in lines("out")]
    assert sum(drawn) <= 120 and min(drawn) >= 3


def test_without_one_it_is_refused_before_anything_is_spent(capsys):
    assert main([*RUN, "controller=allocation"]) == 2
    err = capsys.readouterr().err
    assert "divides one budget among all problems" in err and "total_budget" in err
