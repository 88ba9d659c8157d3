"""On a real Ray cluster on this machine, started once for all of these."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import aclosing
from functools import partial

import pytest

from tests.executors import recipes
from tests.folders import lines
from tests.servers.scripted import Act
from tts.budget import Allocation, Budget
from tts.cli import main
from tts.errors import BackendError, ConfigError
from tts.executors import _cluster
from tts.executors.ray import TRIES, RayExecutor, RayPool
from tts.solve import Setup, solve_all
from tts.types import Problem, Usage

PROBLEMS = [Problem.chat(f"p{i}", f"{i}+{i * 7 % 13}*3=") for i in range(40)]


@pytest.fixture(scope="session", autouse=True)
def cluster():
    cluster = _cluster.Cluster(None, 4, 100)
    cluster.join()
    yield cluster
    cluster.leave()


@pytest.fixture(scope="session")
async def pool(cluster):
    pool = RayPool(2, cpus=0.5)
    yield pool
    await pool.aclose()


@pytest.fixture
async def hire():
    """Executors on pools of their own, for those that lose workers."""
    pools = []

    def hire(recipe, setup, **options):
        pools.append(RayPool(**{"cpus": 0.5, **options}))
        return RayExecutor(pools[-1], recipe, setup)

    yield hire
    for each in pools:
        await each.aclose()


def executor(pool, **options):
    mine = {name: value for name, value in options.items() if name != "folder"}
    return RayExecutor(pool, partial(recipes.setup, **options), recipes.setup({}, **mine))


async def collect(stream):
    async with aclosing(stream) as results:
        return [result async for result in results]


def told(results):
    """What came of problems, but for the time that it took."""
    return sorted(
        (r.problem_id, r.status, r.answer, [c.trajectory.text for c in r.candidates],
         [c.trajectory.key for c in r.candidates], r.usage.completion_tokens, r.usage.calls)
        for r in results
    )  # fmt: skip


async def here(problems, **options):
    setup = recipes.setup({}, **options)
    return await collect(
        solve_all(problems, strategy=setup.strategy, backend=setup.backend, budget=setup.budget)
    )


async def test_workers_find_what_this_process_finds(pool, tmp_path):
    far = executor(pool, folder=tmp_path)
    events = []
    found = await collect(far.solve(iter(PROBLEMS), concurrency=8, on_event=events.append))
    assert told(found) == told(await here(PROBLEMS))
    assert len(list(tmp_path.iterdir())) == 2
    spent = sum(e.usage.completion_tokens for e in events if type(e).__name__ == "Spent")
    assert spent == sum(r.usage.completion_tokens for r in found)


async def test_a_pool_serves_one_executor_after_the_other(pool):
    for accuracy in (0.2, 0.9):
        far = executor(pool, accuracy=accuracy)
        found = await collect(far.solve(PROBLEMS[:8], concurrency=8))
        assert told(found) == told(await here(PROBLEMS[:8], accuracy=accuracy))


async def test_the_iteration_can_be_left_in_the_middle(pool):
    far = executor(pool, seconds_per_token=0.01)
    async with aclosing(far.solve(PROBLEMS, concurrency=8)) as results:
        await anext(results)
    assert {member.load for member in pool._crew.members} == {0}
    assert len(await collect(far.solve(PROBLEMS[:3], concurrency=8))) == 3


async def test_a_killed_worker_loses_no_problem_and_doubles_none(hire, tmp_path, caplog):
    options = {"folder": tmp_path, "seconds_per_token": 0.002}
    recipe = partial(recipes.setup, **options)
    far = hire(recipe, recipes.setup({}))
    caplog.set_level(logging.WARNING, "tts")
    found = []
    async with aclosing(far.solve(PROBLEMS, concurrency=8)) as results:
        async for result in results:
            found.append(result)
            if len(found) == 8:
                os.kill(int(next(tmp_path.iterdir()).name), signal.SIGKILL)
    assert told(found) == told(await here(PROBLEMS))
    assert caplog.text.count("A Ray worker was lost with") == 1


async def test_an_engine_that_dies_for_good_counts_as_a_lost_worker(hire, tmp_path):
    recipe = partial(recipes.setup, folder=tmp_path, dead_at="p5")
    far = hire(recipe, recipes.setup({}))
    found = await collect(far.solve(PROBLEMS, concurrency=8))
    assert (tmp_path / "dead").exists()
    assert told(found) == told(await here(PROBLEMS))


async def test_a_problem_that_kills_its_workers_fails_alone(hire, tmp_path):
    recipe = partial(recipes.setup, folder=tmp_path, trouble=("p3",))
    far = hire(recipe, recipes.setup({}), workers=1)
    found = await collect(far.solve(PROBLEMS[:6], concurrency=1))
    (failed,) = [result for result in found if result.error]
    assert (failed.problem_id, failed.status) == ("p3", "failed")
    assert f"lost with its worker {TRIES} times" in str(failed.error)
    others = [problem for problem in PROBLEMS[:6] if problem.id != "p3"]
    assert told([r for r in found if r is not failed]) == told(await here(others))


async def test_when_nobody_is_left_the_run_ends_and_keeps_what_it_has(hire, tmp_path):
    recipe = partial(recipes.setup, folder=tmp_path, trouble=("p3",))
    far = hire(recipe, recipes.setup({}), workers=1, restarts=0)
    found = []
    with pytest.raises(BackendError, match="All Ray workers are lost") as caught:
        async with aclosing(far.solve(PROBLEMS, concurrency=1)) as results:
            async for result in results:
                found.append(result)
    assert not caught.value.retryable
    assert told(found) == told(await here(PROBLEMS[:3]))


async def test_a_total_holds_over_all_workers(pool):
    own, total = Budget(completion_tokens=500), Budget(completion_tokens=4000)
    far = executor(pool, budget=own)
    spent = Usage(completion_tokens=1000)
    found = await collect(far.solve(PROBLEMS, concurrency=8, total_budget=total, spent=spent))
    assert len(found) == len(PROBLEMS)
    assert 2500 < sum(r.usage.completion_tokens for r in found) <= 3000
    assert {r.limit for r in found} >= {"total_budget.completion_tokens"}
    assert all(r.usage.completion_tokens <= 500 and not r.error for r in found)


async def test_time_that_is_up_ends_all_of_them(pool):
    far = executor(pool, seconds_per_token=1.0)
    found = await collect(far.solve(PROBLEMS[:6], concurrency=3, total_budget=Budget(seconds=0.3)))
    assert {(r.status, r.limit) for r in found} == {("exhausted", "total_budget.seconds")}


async def test_a_worker_that_is_something_else_is_refused(hire):
    far = hire(recipes.unlike, recipes.setup({}))
    with pytest.raises(ConfigError, match="The backend of a Ray worker is not the one configured"):
        await far.start()


async def test_workers_for_whom_there_is_no_room_are_refused(hire):
    far = hire(recipes.setup, recipes.setup({}), gpus=64)
    with pytest.raises(ConfigError, match=r"no room for 2 workers of 0\.5 CPU, 64 GPU each: 0 of"):
        await far.start()


def test_a_controller_that_shares_a_pot_is_refused(pool):
    setup = recipes.setup({}, budget=Budget(calls=4))
    sharing = Setup(setup.strategy, setup.backend, controller=Allocation())
    with pytest.raises(ConfigError, match="Allocation divides one budget among all problems"):
        RayExecutor(pool, recipes.setup, sharing).check(Budget(calls=40))
    with pytest.raises(ConfigError, match=r"budget\.flops is not set"):
        RayExecutor(pool, recipes.setup, setup).check(Budget(flops=1e9))


@pytest.mark.parametrize(
    ("address", "why"), [("127.0.0.1:1", "refused"), ("ray", "neither auto nor host:port")]
)
def test_an_address_where_nobody_is_is_refused(address, why, monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(ConfigError, match=f"no Ray cluster can be joined there: .*{why}"):
        _cluster.Cluster(address, 1, 100).join()


def test_without_ray_the_way_to_it_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        RayPool()
    assert caught.value.hint == "pip install 'tts-scaling[ray]'"


@pytest.mark.parametrize(
    "setting", [{"workers": 0}, {"cpus": -1}, {"restarts": -1}, {"object_store_mib": 10}]
)
def test_settings_out_of_range_are_refused(setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=rf"executor\.{name} is"):
        RayPool(**setting)


def test_a_run_on_workers_has_the_records_of_one_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("run", "backend=simulated", "task.n_problems=12", "strategy.n=3", "repeats=2")
    assert main([*words, "hydra.run.dir=near"]) == 0
    far = ("executor=ray", "executor.cpus=0.5", "hydra.run.dir=far")
    assert main([*words, *far]) == 0
    assert records("far") == records("near")


def test_limits_of_a_server_hold_for_all_workers_together(serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server = serve(vllm=True, context=100_000)
    server.usual = Act(hold=True)
    threading.Thread(target=release, args=(server, 4), daemon=True).start()
    words = (
        "run", "backend=openai", "backend.model=toy", f"backend.base_url={server.url}",
        "backend.limits.in_flight=4", "concurrency=16", "executor=ray", "executor.cpus=0.5",
        "task.n_problems=8", "strategy.n=4", "hydra.run.dir=out",
    )  # fmt: skip
    assert main(words) == 0
    assert server.peak == 4
    assert len(server.calls) == 32


def release(server, running):
    """Let answers go once so many are under way, and more have had the time to come."""
    while server.running < running:
        time.sleep(0.05)
    time.sleep(0.5)
    server.release()


def records(folder):
    found = {}
    for record in lines(folder):
        del record["elapsed"], record["usage"]["seconds"]
        found[record.get("id") or record["problem_id"], record["repeat"]] = record
    return found
