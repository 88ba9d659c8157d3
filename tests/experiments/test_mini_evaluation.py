"""The measurements of the recipe: stages that go on after a kill, and the figures made of them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

import pytest
from rich.console import Console

from experiments.mini import evaluate
from experiments.mini.evaluate import Plan, best_temperature, measure
from experiments.mini.figures import measured, place_of, pool, well_formed
from experiments.mini.tables import OF_A_MODEL
from tests.engine_fixtures import other_peoples_warnings
from tts.backends.arithmetic import simulated_arithmetic
from tts.backends.simulated import SimulatedBackend
from tts.evaluation import read
from tts.evaluation.progress import Display
from tts.evaluation.records import CandidateRecord, Record
from tts.evaluation.store import RESULTS

PLAN = Plan(
    problems=3, samples=4, deep_problems=2, deep_samples=8, temperatures=(0.4, 0.8),
    grid_problems=2, grid_samples=2,
)  # fmt: skip
DRAWS = {
    "validation": 2 * 12 * 2,
    "greedy": 18,
    "best": 18 * 2,
    "samples": 18 * 4,
    "deep": 12 * (8 - 4),
}


class Requests(list):
    """Problem, seed and temperature of each request that reaches the model."""

    def __init__(self):
        self.marks = {}

    def append(self, request):
        super().append((request.problem.id, request.seed, request.sampling.temperature))
        if len(self) in self.marks:
            self.marks[len(self)].set()

    async def reach(self, number):
        await self.marks.setdefault(number, asyncio.Event()).wait()


@pytest.fixture
def requests(monkeypatch):
    seen = Requests()
    real = SimulatedBackend.open

    def counted(self, request):
        seen.append(request)
        return real(self, request)

    monkeypatch.setattr(SimulatedBackend, "open", counted)
    return seen


async def go(out, plan=PLAN):
    with Display(Console(quiet=True)) as display:
        return await measure(plan, simulated_arithmetic(), out, display)


async def test_nothing_is_drawn_twice_and_a_second_run_draws_nothing(tmp_path, requests):
    found = await go(tmp_path)
    # The best temperature may be that of the samples; then they share their draws.
    shared = 18 * 2 if found["best_temperature"] == 0.8 else 0
    assert len(requests) == len(set(requests)) == sum(DRAWS.values()) - shared
    requests.clear()
    assert await go(tmp_path) == found
    assert not requests


async def test_a_killed_measurement_ends_like_an_uninterrupted_one(tmp_path, requests):
    whole = await go(tmp_path / "whole")
    needed = len(requests)
    task = asyncio.create_task(go(tmp_path / "killed"))
    await requests.reach(needed + needed // 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # The validation problems, at least, had ended: they are not drawn again.
    before = len(requests)
    assert await go(tmp_path / "killed") == whole
    assert 0 < len(requests) - before <= needed - DRAWS["validation"]


async def test_the_figures_are_what_the_records_say(tmp_path):
    found = await go(tmp_path)
    by_level = {}
    for record in read(tmp_path / "samples" / RESULTS):
        marks = [c.correct for c in record.candidates]
        by_level.setdefault(str(place_of(record.problem_id)[0]), []).append(marks)
    for level, problems in by_level.items():
        share = sum(map(sum, problems)) / (4 * len(problems))
        assert found["levels"]["pass@1"][level][0] == pytest.approx(share)
        covered = sum(map(any, problems)) / len(problems)
        assert found["levels"]["pass@4"][level][0] == pytest.approx(covered)
    assert found["curves"]["pass"]["8"] == found["levels"]["pass@8"]["all"]
    assert found["levels"]["well-formed"]["all"][0] == 1.0
    assert json.loads(json.dumps(found))["plan"]["samples"] == 4


async def test_test_problems_choose_no_temperature(tmp_path):
    await go(tmp_path)
    for stage in tmp_path.glob("validation-*"):
        assert {place_of(r.problem_id)[2] for r in read(stage / RESULTS)} == {"validation"}
    for stage in ("greedy", "best-temperature", "samples", "deep"):
        records = list(read(tmp_path / stage / RESULTS))
        assert {place_of(r.problem_id)[2] for r in records} == {"test"}
        assert len(set(Counter(place_of(r.problem_id)[0] for r in records).values())) == 1


def test_the_best_temperature_is_the_lowest_of_the_best():
    grid = {0.2: 0.5, 1.0: 0.6, 0.6: 0.6, 0.8: 0.4}
    found = {t: {"1": (1 - a, 0, 1), "all": (a, 0, 1)} for t, a in grid.items()}
    assert best_temperature(found) == 0.6


def record(level, answers):
    candidates = tuple(
        CandidateRecord(
            answer=answer, key=answer, correct=answer == "7", score=None, finish=finish, clock=9
        )
        for answer, finish in answers
    )
    return Record(
        configuration="c", problem_id=f"mini-test-{level}-0", arm="a", status="done", gold="7",
        usage={}, candidates=candidates, seed=0,
    )  # fmt: skip


def test_well_formed_answers_have_a_box_and_an_end():
    found = record(1, [("7", "stop"), ("8", "stop"), ("7", "length"), (None, "stop")])
    assert well_formed(found) == 0.5
    assert pool(found).correct == (True, False, True, False)
    assert pool(found).keys == ("7", "8", "7", None)
    assert pool(found).scores == ()


def test_levels_weigh_the_same():
    records = [record(1, [("7", "stop")]), record(2, [("8", "stop")])]
    found = measured(records, well_formed)
    assert found["1"][0] == found["2"][0] == found["all"][0] == 1.0
    right = measured(records, lambda r: float(r.candidates[0].correct))
    assert (right["1"][0], right["2"][0], right["all"][0]) == (1.0, 0.0, 0.5)


async def test_the_tables_show_all_of_it(tmp_path):
    found = await go(tmp_path)
    levels = OF_A_MODEL["levels"](found).splitlines()
    assert len(levels) == 2 + 7
    assert levels[-1].startswith("| all |")
    value, low, high = found["levels"]["greedy"]["6"]
    assert f"| {value:.3f} [{low:.3f}, {high:.3f}] |" in levels[-2]
    best = f"{found['best_temperature']:g} (best)"
    assert best in OF_A_MODEL["temperatures"](found)
    assert len(OF_A_MODEL["curves"](found).splitlines()) == 2 + 4


@pytest.mark.engine
@pytest.mark.slow
def test_the_command_on_the_real_engine(tmp_path, monkeypatch, capsys):
    words = (
        "--model", "mini-reasoner", "--out", str(tmp_path), "--problems", "2", "--samples", "4",
        "--deep-problems", "1", "--deep-samples", "8", "--temperatures", "0.8",
        "--grid-problems", "1", "--grid-samples", "1",
    )  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *words])
    with other_peoples_warnings():
        evaluate.main()
    found = json.loads((tmp_path / "figures.json").read_text())
    assert OF_A_MODEL["levels"](found) in capsys.readouterr().out
    assert " --model mini-reasoner --out " in found["about"]["command"]
    assert found["levels"]["well-formed"]["all"][0] > 0.5
