"""The replay cache: a run from it is the run, at the same cost, and pays nothing."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import aclosing
from dataclasses import replace

import pytest

import tts
from tests.backends.letters import GREEDY, PROBLEM, Cut, ask, decode, nominal
from tests.strategies.test_contract import STRATEGIES
from tts.backends._replay.archive import FILE
from tts.backends.arithmetic import simulated_arithmetic
from tts.backends.replay import ReplayBackend
from tts.backends.vllm import VLLMBackend
from tts.protocols import ArrivalOrdered
from tts.testing import LengthVerifier, World, check_backend, check_strategy
from tts.types import Capability, Problem, Trajectory


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


# --- the contract -----------------------------------------------------------------------------


async def test_it_keeps_the_contract_of_backends_recording_and_replaying(folder):
    async with ReplayBackend(simulated_arithmetic(), folder) as backend:
        await check_backend(backend, PROBLEM)
        assert backend.stats.misses and backend.stats.hits
    inner = simulated_arithmetic()
    async with ReplayBackend(inner, folder, offline=True) as backend:
        await check_backend(backend, PROBLEM)
        assert backend.stats.misses == 0
    assert inner.generated == 0


@pytest.mark.engine
async def test_it_keeps_the_contract_over_the_engine(vllm_backend, folder):
    problem = Problem.chat("p", "12+7*3-5+40-6=")
    recording = ReplayBackend(vllm_backend, folder)
    await check_backend(recording, problem)
    recording.archive.close()
    before = vllm_backend.stats.generation_tokens
    replaying = ReplayBackend(vllm_backend, folder, offline=True)
    await check_backend(replaying, problem)
    replaying.archive.close()
    assert vllm_backend.stats.generation_tokens == before
    assert replaying.stats.misses == 0 < replaying.stats.hits


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
async def test_strategies_keep_their_contract_over_a_cache(strategy, folder, monkeypatch):
    """Each backend of the contract's worlds behind a fresh cache."""
    plain, made = World.backend, []

    def cached(world):
        made.append(ReplayBackend(plain(world), folder / str(len(made))))
        return Transparent(made[-1])

    monkeypatch.setattr(World, "backend", cached)
    await check_strategy(strategy)
    assert sum(each.stats.misses for each in made) > 10
    for each in made:
        await each.aclose()


class Transparent:
    """Shows the counts of the simulated backend behind a cache."""

    def __init__(self, replay) -> None:
        self._replay = replay

    def __getattr__(self, name):
        return getattr(self._replay, name, None) or getattr(self._replay.inner, name)


def test_it_is_transparent(folder):
    inner = simulated_arithmetic(accuracy=0.7)
    backend = ReplayBackend(inner, folder)
    assert backend.capabilities == inner.capabilities
    assert backend.model == inner.model
    assert backend.identity() == inner.identity()
    assert backend.provenance() == {}
    assert backend.prompt_tokens(PROBLEM, Trajectory.root()) == inner.prompt_length
    backend.archive.close()


# --- runs -------------------------------------------------------------------------------------


async def solve(strategy, backend, **options):
    """Results of eight problems by id."""
    problems = [Problem(f"p{i}", prompt=f"problem {i}") for i in range(8)]
    draft = backend if Capability.DRAFT in strategy.requires else None
    options = {"verifier": LengthVerifier(), "draft": draft, "max_tokens": 100, **options}
    found = {}
    async with aclosing(
        tts.solve_all(problems, strategy=strategy, backend=backend, **options)
    ) as results:
        async for result in results:
            assert result.error is None
            found[result.problem_id] = result
    return found


def same(one, two) -> None:
    """Whether two runs came to the same, at the same nominal cost."""
    assert one.keys() == two.keys()
    for name, result in one.items():
        other = two[name]
        assert result.answer == other.answer
        assert nominal(result.usage) == nominal(other.usage)
        assert (result.status, result.limit) == (other.status, other.limit)
        told = [
            [(c.trajectory.text, c.trajectory.clock, c.trajectory.finish) for c in r.candidates]
            for r in (result, other)
        ]
        assert told[0] == told[1]


# How much there is of a stream that was left depends on the clock.
LEAVING = [s for s in STRATEGIES if isinstance(s, ArrivalOrdered)]
STAYING = [s for s in STRATEGIES if s not in LEAVING]


@pytest.mark.parametrize("strategy", LEAVING, ids=lambda s: type(s).__name__)
async def test_what_leaves_streams_comes_to_the_same_from_the_cache(strategy, folder):
    async with ReplayBackend(World().backend(), folder) as backend:
        recorded = await solve(strategy, backend)
    inner = World(jitter=5).backend()
    async with ReplayBackend(inner, folder) as backend:
        replayed = await solve(strategy.replaying(list(recorded.values())), backend)
        assert backend.stats.hits > 0
    for name, result in recorded.items():
        assert replayed[name].answer == result.answer
        told = [[c.trajectory.text for c in r.candidates] for r in (result, replayed[name])]
        assert told[0] == told[1]


@pytest.mark.parametrize("strategy", STAYING, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("tokens", [20, 90, 100_000])
async def test_a_run_from_the_cache_is_the_run(strategy, tokens, folder):
    budget = tts.Budget(completion_tokens=tokens, landing_tokens=min(10, tokens // 4))
    plain = await solve(strategy, World().backend(), budget=budget)
    async with ReplayBackend(World().backend(), folder) as backend:
        recorded = await solve(strategy, backend, budget=budget)
    inner = World(jitter=5).backend()
    async with ReplayBackend(inner, folder) as backend:
        replayed = await solve(strategy, backend, budget=budget)
        assert backend.stats.misses == backend.stats.partial_hits == 0
    assert inner.generated == 0
    same(plain, recorded)
    same(recorded, replayed)
    for result in replayed.values():
        assert result.usage.replayed_tokens == result.usage.completion_tokens > 0


@pytest.mark.parametrize("order", [(100, 300, 1000), (1000, 300, 100)])
async def test_a_sweep_over_budgets_generates_each_token_once(order, folder):
    inner = World().backend()
    runs = {}
    async with ReplayBackend(inner, folder) as backend:
        for tokens in order:
            budget = tts.Budget(completion_tokens=tokens)
            runs[tokens] = await solve(tts.SelfConsistency(n=16), backend, budget=budget)
        assert backend.stats.paid.completion_tokens == inner.generated
        spent = sum(r.usage.completion_tokens for run in runs.values() for r in run.values())
        assert backend.stats.nominal.completion_tokens == spent > inner.generated
        backend.archive.flush()
    if order[0] == 100:
        assert inner.generated == recorded_tokens(folder)
    async with ReplayBackend(inner, folder, offline=True) as backend:
        for tokens in order:
            budget = tts.Budget(completion_tokens=tokens)
            same(runs[tokens], await solve(tts.SelfConsistency(n=16), backend, budget=budget))


def recorded_tokens(folder):
    with sqlite3.connect(folder / FILE) as connection:
        (total,) = connection.execute("SELECT sum(completion) FROM entries").fetchone()
    connection.close()
    return total


async def test_a_rerun_starts_nothing(folder):
    inner = Cut()
    async with ReplayBackend(inner, folder) as backend:
        await backend.start()
        assert inner.starts == 0
        await decode(backend, ask())
        assert inner.starts == 1
    inner = Cut()
    async with ReplayBackend(inner, folder) as backend:
        await backend.start()
        await decode(backend, ask())
    assert (inner.starts, inner.asked) == (0, [])


# --- over the engine --------------------------------------------------------------------------

CHAT = Problem.chat("p", "12+7*3-5+40-6=")


@pytest.mark.engine
async def test_an_engines_answer_is_cut_at_any_token(vllm_backend, folder):
    whole = replace(ask(), problem=CHAT, sampling=GREEDY, max_tokens=200)
    recording = ReplayBackend(vllm_backend, folder)
    stream, _ = await decode(recording, whole)
    recording.archive.close()
    tokens = stream.trajectory.segment.tokens
    assert stream.usage.completion_tokens == len(tokens) + 1
    replaying = ReplayBackend(vllm_backend, folder, offline=True)
    for cap in (1, 2, 7, len(tokens) - 1, len(tokens), len(tokens) + 1):
        request = replace(whole, max_tokens=cap, watch=cap % 2 == 0)
        (live, _), (served, chunks) = await asyncio.gather(
            decode(vllm_backend, request), decode(replaying, request)
        )
        assert served.trajectory.text == live.trajectory.text
        assert served.trajectory.finish == live.trajectory.finish
        assert served.trajectory.segment.tokens == live.trajectory.segment.tokens
        assert served.usage.completion_tokens == live.usage.completion_tokens
        # Short pieces are taken for one chunk of the engine's.
        assert len(chunks) == (min(cap, len(tokens)) if request.watch and cap > 8 else 1)
    replaying.archive.close()


@pytest.mark.engine
async def test_an_engines_answer_is_continued_token_by_token(vllm_backend, folder):
    request = replace(ask(), problem=CHAT, sampling=GREEDY, max_tokens=200, logprobs=0)
    live, _ = await decode(vllm_backend, request)
    backend = ReplayBackend(vllm_backend, folder)
    left, _ = await decode(backend, replace(request, watch=True), leave=5)
    again, _ = await decode(backend, replace(request, watch=True), leave=5)
    assert nominal(again.usage) == nominal(left.usage)
    assert again.trajectory.segment == left.trajectory.segment
    part, _ = await decode(backend, replace(request, max_tokens=30))
    before = vllm_backend.stats.generation_tokens
    whole, _ = await decode(backend, request)
    backend.archive.close()
    assert vllm_backend.stats.generation_tokens - before == live.usage.completion_tokens - 30
    assert whole.trajectory.segment.tokens == live.trajectory.segment.tokens
    assert whole.trajectory.text == live.trajectory.text
    assert whole.trajectory.logprobs == pytest.approx(live.trajectory.logprobs, abs=1e-3)
    assert (whole.trajectory.finish, part.usage.replayed_tokens) == ("stop", left.trajectory.clock)
    assert backend.stats.paid.completion_tokens == live.usage.completion_tokens


@pytest.mark.engine
async def test_a_race_out_of_the_cache_costs_what_a_race_costs(vllm_backend, folder):
    backend = ReplayBackend(vllm_backend, folder)
    options = {"backend": backend, "max_tokens": 200}
    whole = await tts.solve(CHAT, strategy=tts.SelfConsistency(n=8), **options)
    before = vllm_backend.stats.generation_tokens
    race = await tts.solve(CHAT, strategy=tts.FirstFinish(n=8), **options)
    backend.archive.close()
    assert vllm_backend.stats.generation_tokens == before
    shortest = min(c.trajectory.clock for c in whole.candidates if c.answer)
    assert race.best.trajectory.clock == shortest
    assert race.usage.completion_tokens <= 8 * (shortest + 1) < whole.usage.completion_tokens


@pytest.mark.engine
async def test_a_run_on_the_engine_is_replayed_without_it(vllm_backend, folder):
    results = []
    for offline in (False, True):
        backend = ReplayBackend(vllm_backend, folder, offline=offline)
        problems = [Problem.chat(f"p{i}", f"{i + 10}+7*3-5=") for i in range(4)]
        found = {}
        async with aclosing(
            tts.solve_all(
                problems,
                strategy=tts.BestOfN(n=4),
                backend=backend,
                verifier=tts.Likelihood(),
                max_tokens=120,
                budget=tts.Budget(completion_tokens=300),
            )
        ) as stream:
            async for result in stream:
                found[result.problem_id] = result
        results.append(found)
        backend.archive.close()
    same(*results)


@pytest.mark.engine
def test_sizes_are_no_part_of_an_engines_identity(vllm_backend):
    settings = {"max_num_seqs": 7, "kv_cache_gib": 0.3, "max_model_len": 700}
    other = VLLMBackend("mini-reasoner", settings)
    assert other.identity() == vllm_backend.identity()
    coarse = VLLMBackend("mini-reasoner", {"dtype": "bfloat16"})
    assert coarse.identity() != vllm_backend.identity()
    assert json.loads(json.dumps(other.identity())) == other.identity()
