"""One budget for a whole job: shared, resumed, refused, reported, and its decisions replayed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tts
from tests.folders import lines, summary
from tts.budget import (
    BetaStopping,
    DirichletStopping,
    Fixed,
    OptimalStopping,
    SaturationStopping,
    WindowStopping,
)
from tts.budget.allocation import Allocation
from tts.budget.pot import LEASED, cost_of
from tts.budget.replay import replay
from tts.cli import main
from tts.errors import BackendError, ConfigError
from tts.evaluation import Arm, Names, Store, evaluate
from tts.evaluation.decisions import decisions
from tts.evaluation.store import RESULTS, read
from tts.solve import Setup
from tts.strategies import FirstAccepted
from tts.testing import LengthVerifier, World
from tts.types import Problem, Stop, Usage

NAMES = Names(strategy_name="any", task="toy", model="simulated", backend="simulated")
CONTROLLERS = [
    Fixed(),
    BetaStopping(batch=2),
    DirichletStopping(batch=3),
    WindowStopping(window=3),
    SaturationStopping(),
    Allocation(),
]


def arm(total=None, strategy=None, backend=None, **options):
    setup = Setup(
        strategy=strategy or tts.SelfConsistency(n=8),
        backend=backend or World().backend(),
        verifier=LengthVerifier(),
        max_tokens=100,
        **options,
    )
    return Arm("arm", setup, NAMES, total_budget=total)


async def run(task, arm, folder, **how):
    with Store(folder, {"arm": arm.expected(task)}) as store:
        return await evaluate(task, arm, store=store, **how)


# --- the log ------------------------------------------------------------------------------------


@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("concurrency", [3, 64])
async def test_decisions_are_taken_again_from_the_records(task, tmp_path, controller, concurrency):
    chosen = replace(arm(tts.Budget(total_tokens=4000), controller=controller), repeats=2)
    await run(task, chosen, tmp_path, concurrency=concurrency)
    taken = list(decisions(read(tmp_path / RESULTS)))
    assert len(taken) >= 24 and all(d.basis.shared for d in taken)
    assert replay(controller, taken) == []


async def test_scores_are_in_the_log_too(task, tmp_path):
    rule = OptimalStopping(accept=0.95, sample_cost=0.1)
    await run(task, arm(strategy=FirstAccepted(accept=0.95), controller=rule), tmp_path)
    taken = list(decisions(read(tmp_path / RESULTS)))
    assert any(isinstance(d, Stop) for d in taken)
    assert replay(rule, taken) == []
    assert replay(replace(rule, wrong_value=-2), taken) != []


async def test_a_changed_record_is_found_out(task, tmp_path):
    await run(task, arm(controller=BetaStopping(batch=2)), tmp_path)
    records = list(read(tmp_path / RESULTS))
    (line, *rest) = records[3].decisions
    forged = records[3].model_copy(
        update={"decisions": (line.model_copy(update={"samples": 1}), *rest)}
    )
    found = replay(BetaStopping(batch=2), decisions([*records[:3], forged, *records[4:]]))
    assert [(d.problem_id, d.turn) for d in found] == [(forged.problem_id, 1)]


async def test_failed_problems_and_later_sittings_are_replayed(task, tmp_path):
    world = World()

    def flaky(problem, node, seed):
        if problem.id == "t3" and len(node.text) > 3 and broken:
            raise BackendError("The line is down.")
        return world._simulate(problem, node, seed)

    backend = replace(world.backend(), simulate=flaky)
    total = tts.Budget(completion_tokens=1900)
    chosen = arm(total, backend=backend, controller=Allocation(first=2))
    broken = True
    await run(task, chosen, tmp_path)
    broken = False
    await run(task, chosen, tmp_path)
    records = list(read(tmp_path / RESULTS))
    assert [r.problem_id for r in records if r.failed] == ["t3"]
    assert {r.sitting > 0 for r in records} == {False, True}
    assert replay(Allocation(first=2), decisions(records)) == []


# --- what is spent ------------------------------------------------------------------------------


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    controller=st.sampled_from(CONTROLLERS),
    limit=st.sampled_from(LEASED),
    size=st.floats(0.01, 1.2),
    jitter=st.integers(0, 5),
    concurrency=st.sampled_from([1, 3, 20]),
)
async def test_no_controller_spends_beyond_its_pot_and_what_is_left_is_for_the_others(
    controller, limit, size, jitter, concurrency
):
    world = World(jitter)
    problems = [Problem(f"p{i}", prompt=f"problem {i}") for i in range(8)]
    each = world.backend().info.usage(10, 0, 60)
    amount = size * 8 * 8 * cost_of(each, limit)
    if limit not in ("flops", "usd"):
        amount = max(1, int(amount))
    backend = world.backend()
    results = [
        result
        async for result in tts.solve_all(
            problems,
            strategy=tts.SelfConsistency(n=8),
            backend=backend,
            controller=controller,
            total_budget=tts.Budget.model_validate({limit: amount}),
            concurrency=concurrency,
            max_tokens=60,
        )
    ]
    spent = sum((r.usage for r in results), Usage())
    assert all(r.error is None for r in results) and len(results) == 8
    assert spent.completion_tokens == backend.generated
    assert cost_of(spent, limit) <= amount * (1 + 1e-9)
    if any(r.limit for r in results):
        assert {r.limit for r in results} <= {"", f"total_budget.{limit}"}
        assert amount - cost_of(spent, limit) < cost_of(each, limit) * (1 + 1e-9)
    assert replay(controller, [d for r in results for d in r.decisions]) == []


class Third:
    """Tells when three problems are recorded."""

    def __init__(self):
        self.there, self.left = asyncio.Event(), 3

    def begin(self, *_):
        pass

    on_event = end = begin

    def keep(self, outcome):
        self.left -= 1
        if not self.left:
            self.there.set()


async def test_a_resumed_run_subtracts_what_its_records_have_spent(task, tmp_path):
    total = tts.Budget(completion_tokens=1000)
    chosen = arm(total)

    watcher = Third()
    with Store(tmp_path, {"arm": chosen.expected(task)}) as store:
        sitting = asyncio.create_task(
            evaluate(task, chosen, store=store, concurrency=1, watcher=watcher)
        )
        await watcher.there.wait()
        sitting.cancel()
        await asyncio.gather(sitting, return_exceptions=True)
        before = store.spent("arm").completion_tokens
    assert 0 < before < 1000
    backend = World().backend()
    row = await run(task, replace(chosen, setup=replace(chosen.setup, backend=backend)), tmp_path)
    assert before + backend.generated == row.completion_tokens <= 1000
    assert 1000 - row.completion_tokens < 100
    assert (row.total_limit, row.n_problems) == ("total_budget.completion_tokens", 12)


async def test_what_a_failed_attempt_has_cost_is_spent_for_good(task, tmp_path):
    record = {"id": "t0", "status": "failed", "error": "x", "gold": "0", "arm": "arm"}
    chosen = arm(tts.Budget(completion_tokens=1000))
    expected = chosen.expected(task)
    await run(task, chosen, tmp_path / "whole")
    (tmp_path / "part").mkdir()
    header = (tmp_path / "whole" / RESULTS).read_text().splitlines()[0]
    spent = {"completion_tokens": 400, "calls": 4}
    failed = {**record, "configuration": expected.configuration, "repeat": 0, "usage": spent,
              "seed": 0, "elapsed": 7.0}  # fmt: skip
    text = "\n".join([header, json.dumps(failed), json.dumps(failed)]) + "\n"
    (tmp_path / "part" / RESULTS).write_text(text)
    with Store(tmp_path / "part", {"arm": expected}) as store:
        assert store.spent("arm") == Usage(completion_tokens=800, calls=8, seconds=7.0)
        backend = World().backend()
        again = replace(chosen, setup=replace(chosen.setup, backend=backend))
        await evaluate(task, again, store=store)
        assert 100 < backend.generated <= 200
        assert store.spent("arm").completion_tokens == 800 + backend.generated


async def test_a_deadline_of_the_job_counts_earlier_sittings(task, tmp_path):
    late = Usage(seconds=5.0)
    results = [
        result
        async for result in tts.solve_all(
            [item.problem for item in task],
            strategy=tts.SelfConsistency(n=4),
            backend=World().backend(),
            total_budget=tts.Budget(seconds=4.0),
            spent=late,
            max_tokens=100,
        )
    ]
    assert {(r.status, r.limit) for r in results} == {("exhausted", "total_budget.seconds")}
    assert sum(r.usage.calls for r in results) == 0


# --- contradictions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "budget", "sentence"),
    [
        ({"calls": 30}, {"calls": 40}, "budget.calls lets one problem spend 40, and"),
        ({"seconds": 3}, {"seconds": 4}, "budget.seconds lets one problem spend 4, and"),
        (
            {"completion_tokens": 40},
            {"completion_tokens": 50, "landing_tokens": 45},
            "budget.completion_tokens lets one problem spend 50",
        ),
        (
            {"completion_tokens": 40, "landing_tokens": 5},
            {},
            "total_budget.landing_tokens is 5",
        ),
        ({"calls": 1}, {}, "total_budget.calls is 1, and the first step of BeamSearch takes at"),
    ],
)
async def test_contradictory_limits_are_refused_before_anything_is_spent(total, budget, sentence):
    backend = World().backend()
    run = tts.solve_all(
        [Problem("p", prompt="?")],
        strategy=tts.BeamSearch(n=4, width=2),
        backend=backend,
        verifier=LengthVerifier(),
        budget=tts.Budget(**budget),
        total_budget=tts.Budget(**total),
    )
    with pytest.raises(ConfigError, match=sentence):
        await anext(run)
    assert backend.generated == 0


@pytest.mark.parametrize("role", ["backend", "draft", "verifier_backend"])
def test_dollars_without_a_price_are_refused_by_name(role):
    priced, free = World().backend(), World().backend()
    free.info = replace(free.info, name="gift", usd_per_completion_token=0.0)
    parts = {"backend": priced, role: free}
    with pytest.raises(ConfigError, match=r"budget\.usd is 2, and the price of gift is missing"):
        Setup(strategy=tts.Greedy(), **parts, budget=tts.Budget(usd=2))
    free.info = replace(free.info, usd_per_prompt_token=1e-9)
    Setup(strategy=tts.Greedy(), **parts, budget=tts.Budget(usd=2)).check_total(tts.Budget(usd=3))


# --- the command line ---------------------------------------------------------------------------

SMALL = ("backend=simulated", "task.n_problems=8", "hydra.run.dir=out", "strategy.n=4")


@pytest.fixture
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def command(*words):
    return main(["run", *SMALL, *words])


@pytest.mark.usefixtures("_elsewhere")
def test_a_job_budget_in_dollars_ends_a_run_and_the_summary_says_so(capsys):
    prices = ("model.prices.completion=2", "model.prices.seconds_per_completion_token=0.01")
    assert command("total_budget.usd=0.001", *prices) == 0
    (row,) = summary("out")
    assert row["total_budget"] == {"usd": 0.001} and 0 < row["usd"] <= 0.001
    assert row["total_limit"] == "total_budget.usd"
    nothing = [r for r in lines("out") if not r["usage"]["calls"]]
    assert row["n_starved"] == len(nothing) > 0
    assert row["ideal_seconds"] == pytest.approx(0.01 * row["completion_tokens"])
    said = f"total_budget.usd was spent before all was done; {len(nothing)} of 8 problems got"
    out = capsys.readouterr().out.replace("\n", " ")
    assert said in out and "idealised" in out
    assert said in Path("out/summary.md").read_text()


@pytest.mark.usefixtures("_elsewhere")
def test_each_arm_has_the_whole_of_it():
    arms = '+arms.two=["strategy.n=3"]', '+arms.one=["strategy.n=4"]'
    assert command(*arms, "total_budget.completion_tokens=900") == 0
    rows = summary("out")
    assert all(800 < row["completion_tokens"] <= 900 for row in rows) and len(rows) == 2


@pytest.mark.usefixtures("_elsewhere")
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["total_budget.usd=2"], "total_budget.usd is 2, and the price of simulated is missing."),
        (["budget.usd=2"], "budget.usd is 2, and the price of simulated is missing."),
        (["total_budget.calls=0"], "total_budget.calls is 0; it must be greater than 0."),
        (
            ["budget=tokens", "total_budget.completion_tokens=1k"],
            "budget.completion_tokens lets one problem spend 2000, and"
            " total_budget.completion_tokens all of them together only 1000.",
        ),
        (["model.prices.prompt=-1"], "model.prices.prompt is -1; it must be 0 or more"),
        (["model.prices.prompts=1"], "There is no field model.prices.prompts."),
        (["controller=share", "controller.threshold=2"], "controller.threshold is 2; it must"),
    ],
)
def test_bad_input_is_named_with_the_way_out(words, sentence, capsys):
    assert command(*words) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("tts: ") and sentence in first
    assert second.startswith("hint: ")
    assert not Path("out").exists()


@pytest.mark.usefixtures("_elsewhere")
def test_without_a_total_budget_a_run_is_filed_as_ever():
    assert command() == 0
    before = summary("out")[0]["configuration"]
    assert command("model.prices.completion=2") == 0
    assert summary("out")[0]["configuration"] == before, "a price changes no answer"
    assert command("total_budget.calls=1000") == 0
    assert summary("out")[0]["configuration"] != before
