"""One problem or many: metered, cancelled, timed out, failed, and never empty-handed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

import pytest

import tts
from tests.readers import Reader
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.errors import (
    BackendError,
    ConfigError,
    EngineStartFailed,
    StrategyError,
    VerifierError,
)
from tts.strategies._common import generate
from tts.testing import LengthVerifier, World
from tts.types import (
    Capability,
    Decided,
    Done,
    Problem,
    Published,
    Result,
    Score,
    Spent,
    Trajectory,
)

PROBLEMS = [Problem(f"p{i}", prompt=f"problem {i}") for i in range(40)]


async def collect(**arguments):
    return {r.problem_id: r async for r in tts.solve_all(**arguments)}


async def test_a_string_is_a_problem(world):
    result = await tts.solve("1 + 1?", strategy=tts.Greedy(), backend=world.backend())
    assert result.answer is not None


async def test_many_side_by_side_equal_each_alone(world):
    together = await collect(
        problems=PROBLEMS, strategy=tts.SelfConsistency(n=4), backend=world.backend()
    )
    assert set(together) == {p.id for p in PROBLEMS}
    for problem in PROBLEMS[:5]:
        alone = await tts.solve(
            problem, strategy=tts.SelfConsistency(n=4), backend=World(9).backend()
        )
        assert alone.answer == together[problem.id].answer


async def test_seed_and_repeat_change_the_draws(world, problem):
    async def texts(problem=problem, **how):
        result = await tts.solve(
            problem, strategy=tts.SelfConsistency(n=3), backend=world.backend(), **how
        )
        assert result.repeat == problem.repeat
        return [c.trajectory.text for c in result.candidates]

    assert await texts() == await texts()
    assert await texts(seed=1) != await texts()
    assert await texts(replace(problem, repeat=1)) != await texts()


async def test_events_add_up(world, problem):
    events = []
    result = await tts.solve(
        problem, strategy=tts.SelfConsistency(n=6), backend=world.backend(), on_event=events.append
    )
    spent = sum((e.usage for e in events if isinstance(e, Spent)), tts.Usage())
    assert spent.completion_tokens == result.usage.completion_tokens
    assert spent.flops == result.usage.flops
    assert [type(e) for e in events if not isinstance(e, Spent | Published)] == [Decided, Done]
    assert events[-1].result.answer == result.answer


@pytest.mark.parametrize(
    "limit",
    [{"completion_tokens": 70}, {"total_tokens": 120}, {"calls": 3}, {"usd": 0.07}, {"flops": 3e5}],
)
async def test_running_dry_returns_the_best_published_candidate(world, problem, limit):
    result = await tts.solve(
        problem,
        strategy=tts.SelfConsistency(n=16),
        backend=world.backend(),
        budget=tts.Budget(**limit),
        max_tokens=60,
    )
    assert result.status == "exhausted"
    assert result.limit == next(iter(limit))
    assert result.answer is not None
    assert tts.budget.pot.cost_of(result.usage, result.limit) <= next(iter(limit.values()))


class Loses:
    """Publishes what it finds, and has nothing in its hands when the budget ends."""

    requires: frozenset[str] = frozenset()

    async def __call__(self, problem, env):
        for child in range(100):
            async with env.backend.open(env.request(Trajectory.root(), child)) as stream:
                async for _ in stream:
                    pass
            env.publish(await env.candidate(stream.trajectory))
        return Result(problem.id, None)


async def test_a_strategy_stopped_in_its_middle_keeps_what_it_published(world, problem):
    events = []
    result = await tts.solve(
        problem,
        strategy=Loses(),
        backend=world.backend(),
        budget=tts.Budget(calls=5),
        on_event=events.append,
    )
    published = [e.candidate for e in events if isinstance(e, Published)]
    assert len(published) == 5
    assert result.best is published[-1]
    assert (result.status, result.limit) == ("exhausted", "calls")


async def test_sixteen_samples_on_a_pot_of_500_are_whole_answers(problem):
    backend = SimulatedBackend(lambda p, node, seed: Step("x" * 50 + "\\boxed{1}", 60))
    result = await tts.solve(
        problem,
        strategy=tts.SelfConsistency(n=16),
        backend=backend,
        budget=tts.Budget(completion_tokens=500),
        max_tokens=128,
    )
    whole = [c for c in result.candidates if c.trajectory.finish == "stop" and c.answer]
    assert len(whole) == 8
    assert backend.generated == result.usage.completion_tokens <= 500


@pytest.mark.parametrize("strategy", [tts.SelfConsistency(n=4), tts.Greedy()])
async def test_the_landing_reserve_closes_one_answer(problem, strategy):
    def thinker(p, node, seed):
        if node.text.endswith("\\boxed{"):
            return Step("42}", 2)
        return Step("hmm " * 100, 400, final=False)

    backend = SimulatedBackend(thinker)
    result = await tts.solve(
        problem,
        strategy=strategy,
        backend=backend,
        budget=tts.Budget(completion_tokens=300, landing_tokens=16),
        max_tokens=290,
    )
    assert result.answer == "42"
    assert result.status == "exhausted"
    assert result.usage.completion_tokens == backend.generated == 286
    assert [s.origin for s in result.best.trajectory.segments()] == ["model", "forced", "model"]


async def test_the_landing_reserve_closes_no_reply_of_a_judge(problem):
    landed = []

    def thinker(p, node, seed):
        if node.text.endswith("the grade "):
            return Step("7", 1)
        if node.text.endswith("\\boxed{"):
            landed.append(node.text)
            return Step("42}", 2)
        return Step("hmm", 60, final=False)

    result = await tts.solve(
        problem,
        strategy=tts.BestOfN(n=3),
        backend=SimulatedBackend(thinker),
        verifier=tts.Judge(reading="greedy"),
        budget=tts.Budget(completion_tokens=130, landing_tokens=10),
        max_tokens=60,
    )
    assert result.answer == "42"
    assert landed and all("grade" not in text for text in landed)
    assert all("grade" not in node.text for node in result.tree)


async def test_seconds_end_the_search_with_the_best_so_far(problem):
    async def slow(env_problem, env):
        env.publish(tts.Candidate(Trajectory.root(), tts.Answer("early", "early")))
        await asyncio.sleep(60)

    slow.requires = frozenset()
    started = time.monotonic()
    result = await tts.solve(
        problem,
        strategy=slow,
        backend=World().backend(),
        budget=tts.Budget(seconds=0.2),
    )
    assert time.monotonic() - started < 0.2 + tts.budget.pot.GRACE_SECONDS
    assert (result.answer, result.status, result.limit) == ("early", "exhausted", "seconds")


async def test_a_callers_deadline_and_cancellation_pass_through(problem):
    async def forever(env_problem, env):
        await asyncio.sleep(60)

    forever.requires = frozenset()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await tts.solve(problem, strategy=forever, backend=World().backend())
    task = asyncio.create_task(tts.solve(problem, strategy=forever, backend=World().backend()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_strategys_own_timeout_error_is_a_fault(world, problem):
    async def impatient(env_problem, env):
        raise TimeoutError("mine")

    impatient.requires = frozenset()
    with pytest.raises(TimeoutError, match="mine"):
        await tts.solve(
            problem,
            strategy=impatient,
            backend=world.backend(),
            budget=tts.Budget(seconds=50),
        )


def failing(problem, node, seed):
    if problem.id == "p3":
        raise BackendError("The endpoint is down.")
    return Step("\\boxed{1}", 5)


async def test_a_fault_is_an_error_for_one_and_a_failed_result_among_many():
    with pytest.raises(BackendError, match="down"):
        await tts.solve(PROBLEMS[3], strategy=tts.Greedy(), backend=SimulatedBackend(failing))
    results = await collect(
        problems=PROBLEMS, strategy=tts.Greedy(), backend=SimulatedBackend(failing)
    )
    assert len(results) == 40
    failed = results.pop("p3")
    assert (failed.status, failed.answer) == ("failed", None)
    assert isinstance(failed.error, BackendError)
    assert failed.usage.completion_tokens == 1024, "the truth is unknown: the lease is charged"
    assert all(r.status == "done" for r in results.values())


async def test_a_total_budget_bounds_all_problems_together(world):
    backend = world.backend()
    results = await collect(
        problems=PROBLEMS,
        strategy=tts.SelfConsistency(n=4),
        backend=backend,
        total_budget=tts.Budget(completion_tokens=1000),
        max_tokens=60,
    )
    assert len(results) == 40
    assert backend.generated <= 1000
    assert backend.generated == sum(r.usage.completion_tokens for r in results.values())
    assert {r.status for r in results.values()} == {"done", "exhausted"}


async def test_problems_are_read_as_needed_and_leaving_cancels(world):
    read = 0

    async def source():
        nonlocal read
        for problem in PROBLEMS:
            read += 1
            yield problem

    backend = world.backend()
    results = tts.solve_all(source(), strategy=tts.Greedy(), backend=backend, concurrency=4)
    async for _ in results:
        break
    await results.aclose()
    assert read <= 6
    assert backend.open_streams == 0


async def test_a_broken_source_is_reported():
    def source():
        yield PROBLEMS[0]
        raise ConfigError("line 2 is broken.")

    with pytest.raises(ConfigError, match="line 2"):
        await collect(problems=source(), strategy=tts.Greedy(), backend=World().backend())


async def test_concurrency_is_a_cap(problem):
    most = now = 0

    async def count(env_problem, env):
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return Result(env_problem.id, None)

    count.requires = frozenset()
    await collect(problems=PROBLEMS, strategy=count, backend=World().backend(), concurrency=7)
    assert most == 7
    with pytest.raises(ConfigError, match="concurrency is 0"):
        await collect(problems=PROBLEMS, strategy=count, backend=World().backend(), concurrency=0)


async def test_splitting_bounds_a_part(world, problem):
    async def halves(env_problem, env):
        half = env.split(0.5)
        for child in range(50):
            try:
                async with half.backend.open(env.request(Trajectory.root(), child)) as stream:
                    async for _ in stream:
                        pass
            except tts.errors.BudgetExhausted:
                break
        return Result(env_problem.id, None)

    halves.requires = frozenset()
    result = await tts.solve(
        problem,
        strategy=halves,
        backend=world.backend(),
        budget=tts.Budget(completion_tokens=400),
    )
    assert 150 < result.usage.completion_tokens <= 200


class Short(LengthVerifier):
    async def score(self, problem, trajectories, ctx):
        return [Score(0.5, "probability")] * (len(trajectories) + 1)


async def test_a_verifier_that_miscounts_is_named(world, problem):
    with pytest.raises(VerifierError, match="Short gave 2 scores for 1"):
        await tts.solve(
            problem, strategy=tts.BestOfN(n=2), backend=world.backend(), verifier=Short()
        )


class Judge(LengthVerifier):
    """Asks a model about each trajectory."""

    def bound(self, problem, tokens, ctx):
        asked = ctx.backend.model.usage(10, 0, 30).as_verifier()
        return asked + tts.Usage(verifier_calls=1)

    async def score(self, problem, trajectories, ctx):
        scores = []
        for number, trajectory in enumerate(trajectories):
            question = Problem(f"judge {number}", prompt=trajectory.text)
            request = tts.Request(question, Trajectory.root(), max_tokens=30)
            async with ctx.backend.open(request) as stream:
                async for _ in stream:
                    pass
            scores.append(Score(ctx.rng(trajectory.key).random(), "probability"))
        return scores


async def test_a_judges_tokens_are_verifier_tokens(world, problem):
    backend = world.backend()
    result = await tts.solve(
        problem, strategy=tts.BestOfN(n=4), backend=backend, verifier=Judge(), max_tokens=100
    )
    policy = sum(c.trajectory.clock for c in result.candidates)
    assert result.usage.completion_tokens == policy
    assert result.usage.verifier_calls == 4
    prompts = 4 * backend.prompt_length
    assert result.usage.verifier_tokens == backend.generated - policy + prompts


async def test_a_judge_is_paid_from_the_same_pot_and_nobody_locks_up(world, problem):
    result = await asyncio.wait_for(
        tts.solve(
            problem,
            strategy=tts.BestOfN(n=16),
            backend=world.backend(),
            verifier=Judge(),
            budget=tts.Budget(total_tokens=600),
            max_tokens=60,
        ),
        timeout=10,
    )
    assert result.usage.total_tokens <= 600
    assert result.limit == "total_tokens"
    assert result.answer is not None
    assert all(c.score for c in result.candidates), "no answer is paid that cannot be judged"
    assert len(result.candidates) >= 5


# --- verifiers with a model of their own ---------------------------------------------------------


async def test_a_verifiers_own_work_is_charged_as_its_own(world, problem):
    reader = Reader()
    result = await tts.solve(
        problem, strategy=tts.BestOfN(n=4), backend=world.backend(), verifier=reader, max_tokens=100
    )
    read = sum(len(c.trajectory.text) for c in result.candidates)
    assert (result.usage.verifier_tokens, result.usage.verifier_calls) == (read, 4)
    assert result.usage.flops > 2.0 * read
    assert reader.started, "whoever made it closes it"
    tight = await tts.solve(
        problem,
        strategy=tts.BestOfN(n=16),
        backend=world.backend(),
        verifier=reader,
        budget=tts.Budget(total_tokens=600),
        max_tokens=60,
    )
    assert 0 < tight.usage.total_tokens <= 600
    assert tight.limit == "total_tokens" and all(c.score for c in tight.candidates)


def meeting(world):
    """A backend and a reader that come up only once both are on their way."""
    backend, barrier = world.backend(), asyncio.Barrier(2)

    class Slow(type(backend)):
        async def start(self):
            await barrier.wait()

    class SlowReader(Reader):
        async def start(self):
            await barrier.wait()
            await super().start()

    return Slow(backend.simulate, backend.info, backend.clock), SlowReader()


@pytest.mark.parametrize("many", [False, True])
async def test_backend_and_verifier_start_at_the_same_time(world, problem, many):
    backend, reader = meeting(world)
    how = {"strategy": tts.BestOfN(n=2), "backend": backend, "verifier": reader}
    async with asyncio.timeout(60):
        if many:
            assert len(await collect(problems=PROBLEMS[:3], **how)) == 3
        else:
            await tts.solve(problem, **how)


@pytest.mark.parametrize("failing", ["backend", "verifier"])
async def test_one_that_does_not_start_ends_the_others_start(world, problem, failing):
    ended, backend, reader = [], world.backend(), Reader()

    async def fails():
        await asyncio.sleep(0)
        raise EngineStartFailed("No memory.")

    async def hangs():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    class Backend(type(backend)):
        start = staticmethod(fails if failing == "backend" else hangs)

    reader.start = hangs if failing == "backend" else fails
    how = {"backend": Backend(backend.simulate), "verifier": reader}
    with pytest.raises(EngineStartFailed, match="No memory"):
        async with asyncio.timeout(60):
            await tts.solve(problem, strategy=tts.BestOfN(n=2), **how)
    assert ended == [True]


async def test_asking_for_nothing_is_a_mistake(world, problem):
    async def silly(env_problem, env):
        await env.more((), 0)

    silly.requires = frozenset()
    with pytest.raises(StrategyError, match="0 samples"):
        await tts.solve(problem, strategy=silly, backend=world.backend())


async def test_a_backends_request_never_exceeds_the_context(problem):
    model = replace(World().backend().model, context=40)
    backend = SimulatedBackend(lambda p, node, seed: Step("x" * 200, 200), model)
    result = await tts.solve(problem, strategy=tts.Greedy(), backend=backend)
    assert result.usage.completion_tokens == 30
    assert result.best.trajectory.finish == "length"
    backend = replace(backend, prompt_length=40)
    with pytest.raises(tts.errors.ContextTooLong, match="holds 40"):
        await tts.solve(problem, strategy=tts.Greedy(), backend=backend)


@pytest.mark.parametrize("bad", [{"max_tokens": 0}])
async def test_bad_arguments_are_refused(world, problem, bad):
    with pytest.raises(ConfigError):
        await tts.solve(problem, strategy=tts.Greedy(), backend=world.backend(), **bad)


async def test_a_request_cancelled_while_it_waits_for_a_slot_costs_nothing(problem):
    backend = SimulatedBackend(lambda *_: Step("x" * 8, 4), clock=VirtualClock(), slots=1)
    await backend.start()

    @dataclass(frozen=True)
    class Impatient:
        requires: frozenset[Capability] = frozenset()

        async def __call__(self, problem, env):
            root = Trajectory.root()
            async with env.backend.open(env.request(root, 0)) as held:
                other = asyncio.create_task(generate(env, env.request(root, 1)))
                await asyncio.sleep(0.01)
                other.cancel()
                await asyncio.gather(other, return_exceptions=True)
                async for _ in held:
                    pass
            return tts.Result(problem.id, None)

    result = await tts.solve(problem, strategy=Impatient(), backend=backend)
    assert result.usage.completion_tokens == backend.generated == 4
