"""One arm on a task: graded, recorded, resumed, and blind to the gold answers."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import threading
import types
from dataclasses import dataclass, replace

import pytest
from rich.console import Console

import tts
from tests.readers import Reader
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import BackendError, ConfigError, ContextTooLong, EngineDead, GradingError
from tts.evaluation import Arm, Names, Store, check, evaluate
from tts.evaluation.progress import Display
from tts.evaluation.store import RESULTS, TREES, Trees, read
from tts.solve import Setup
from tts.tasks import Item, ItemTask
from tts.testing import LengthVerifier, World
from tts.types import Problem, Result

NAMES = Names(strategy_name="any", task="toy", model="simulated", backend="simulated")


def arm(strategy=None, backend=None, **options):
    setup = Setup(
        strategy=strategy or tts.SelfConsistency(n=3),
        backend=backend or World().backend(),
        max_tokens=100,
        **options,
    )
    return Arm("arm", setup, NAMES)


async def run(task, arm, folder, **how):
    with Store(folder, {arm.label: arm.expected(task)}) as store:
        row = await evaluate(task, arm, store=store, **how)
        records = [
            store.record(arm.label, o.problem_id, o.repeat) for o in store.outcomes(arm.label)
        ]
        return row, {record.problem_id: record for record in records}


async def test_records_and_row(task, tmp_path):
    row, records = await run(task, arm(), tmp_path)
    assert set(records) == {item.problem.id for item in task}
    for record in records.values():
        assert record.correct == (record.answer == "0")
        assert len(record.candidates) == 3
        assert [c.correct for c in record.candidates] == [
            c.answer == "0" for c in record.candidates
        ]
    assert row.n_problems == 12
    assert row.accuracy == sum(bool(r.correct) for r in records.values()) / 12
    assert row.completion_tokens == sum(r.usage["completion_tokens"] for r in records.values())
    assert row.seconds == max(r.elapsed for r in records.values()) > 0
    assert row.accuracy <= (row.coverage or 0)


async def test_scores_and_decisions_are_kept(task, tmp_path):
    chosen = arm(tts.BestOfN(n=4), verifier=LengthVerifier(), controller=tts.BetaStopping(batch=2))
    _, records = await run(task, chosen, tmp_path)
    for record in records.values():
        assert all(c.score and c.score.scale == "probability" for c in record.candidates)
        assert record.decisions[0].samples == 2


async def test_a_resumed_run_does_only_what_is_missing(task, tmp_path):
    first = replace(arm(), config={"same": True})
    with Store(tmp_path, {"arm": first.expected(task)}) as store:
        with pytest.raises(OSError, match="full"):
            await evaluate(task, first, store=_Full(store, 5))
        assert 5 <= len(store.done("arm")) < 12
        before = {problem for problem, _ in store.done("arm")}
    backend = World().backend()
    second = replace(arm(backend=backend), config={"same": True})
    row, records = await run(task, second, tmp_path)
    whole, _ = await run(task, second, tmp_path / "whole")
    assert len(records) == row.n_problems == 12
    new = sum(r.usage["completion_tokens"] for p, r in records.items() if p not in before)
    assert backend.generated == new + whole.completion_tokens
    assert row.accuracy == whole.accuracy
    assert row.completion_tokens == whole.completion_tokens


class _Full:
    """A store on a disk that is full after some lines."""

    def __init__(self, store, lines):
        self._store, self._left = store, lines

    def __getattr__(self, name):
        return getattr(self._store, name)

    def append(self, record, tree):
        if not self._left:
            raise OSError("the disk is full")
        self._left -= 1
        self._store.append(record, tree)


async def test_repeats_draw_anew_and_count_once_a_problem(task, tmp_path):
    chosen = replace(arm(tts.SelfConsistency(n=1)), repeats=4)
    with Store(tmp_path, {"arm": chosen.expected(task)}) as store:
        row = await evaluate(task, chosen, store=store)
        answers = [store.record("arm", "t0", r).answer for r in range(4)]
        assert (row.n_problems, row.n_repeats, row.n_solved) == (12, 4, 48)
    assert len(set(answers)) > 1
    records = list(read(tmp_path / RESULTS))
    assert row.accuracy == pytest.approx(sum(bool(r.correct) for r in records) / 48)
    assert {(r.problem_id, r.repeat) for r in records} == {
        (item.problem.id, repeat) for item in task for repeat in range(4)
    }
    first = {r.problem_id: r.answer for r in records if r.repeat == 0}
    _, single = await run(task, replace(chosen, repeats=1), tmp_path / "single")
    assert first == {p: r.answer for p, r in single.items()}


@pytest.mark.parametrize("keep", ["nothing", "texts", "tokens"])
async def test_what_is_kept_of_the_texts(task, tmp_path, keep):
    _, records = await run(task, replace(arm(), keep=keep), tmp_path)
    if keep == "nothing":
        assert len((tmp_path / TREES).read_text().splitlines()) == 1
        return
    trees = Trees(tmp_path)
    for record in records.values():
        trajectories = trees[record.file_key].trajectories()
        assert len(trajectories) == len(record.candidates) == 3
        assert all((t.logprobs is not None) == (keep == "tokens") for t in trajectories)


async def test_a_fault_is_a_failure_and_not_a_wrong_answer(task, tmp_path):
    def simulate(problem, node, seed):
        if problem.id in ("t3", "t4"):
            raise BackendError("The line is down.")
        return Step("\\boxed{0}", 5)

    row, records = await run(task, arm(backend=SimulatedBackend(simulate)), tmp_path)
    assert (row.n_problems, row.n_failed, row.accuracy) == (12, 2, 1.0)
    assert records["t3"].correct is None
    assert records["t3"].error == "BackendError: The line is down."


async def test_failed_problems_are_taken_up_again(task, tmp_path):
    broken = True

    def simulate(problem, node, seed):
        if broken and problem.id == "t3":
            raise BackendError("The line is down.")
        return Step("\\boxed{0}", 5)

    chosen = arm(backend=SimulatedBackend(simulate))
    row, _ = await run(task, chosen, tmp_path)
    assert row.n_failed == 1
    broken = False
    row, _ = await run(task, chosen, tmp_path)
    assert (row.n_problems, row.n_failed) == (12, 0)


async def test_all_failed_has_no_accuracy(task, tmp_path):
    def simulate(problem, node, seed):
        raise BackendError("The line is down.")

    row, _ = await run(task, arm(backend=SimulatedBackend(simulate)), tmp_path)
    assert (row.n_failed, row.accuracy, row.accuracy_low, row.coverage) == (12, None, None, None)


async def test_an_engine_that_starts_again_costs_what_was_in_flight(task, tmp_path):
    def simulate(problem, node, seed):
        if problem.id == "t3":
            raise EngineDead("The engine has died.")
        return Step("\\boxed{1}", 5)

    row, _ = await run(task, arm(backend=SimulatedBackend(simulate)), tmp_path)
    assert (row.n_problems, row.n_failed) == (12, 1)


async def test_a_dead_engine_ends_the_run(task, tmp_path):
    def simulate(problem, node, seed):
        error = EngineDead("The engine has died.")
        error.retryable = False
        raise error

    with pytest.raises(EngineDead):
        await run(task, arm(backend=SimulatedBackend(simulate)), tmp_path)


async def test_a_verifiers_model_is_started_once_and_not_where_all_is_done(task, tmp_path):
    reader = Reader()
    one = replace(arm(tts.BestOfN(n=2), verifier=reader), config={"same": True})
    reader.log.clear()
    with Store(tmp_path, {"arm": one.expected(task)}) as store:
        row = await evaluate(task, one, store=store)
        assert reader.log == [("reader", "start")], "whoever made it closes it"
        assert row.verifier_tokens > 0 and row.verifier_calls == 24
        other = Reader()
        again = replace(arm(tts.BestOfN(n=2), verifier=other), config={"same": True})
        await evaluate(task, again, store=store)
        assert not other.started


async def test_a_crash_of_the_grader_is_a_failure(task, tmp_path):
    class Crashing(ItemTask):
        async def grade(self, problem_id, answer):
            if problem_id == "t1":
                raise GradingError("The grader crashed.")
            return await super().grade(problem_id, answer)

    row, records = await run(Crashing("toy", task.items), arm(), tmp_path)
    assert row.n_failed == 1
    assert records["t1"].error.startswith("GradingError")


async def test_a_slow_grader_does_not_keep_the_backend_waiting(task, tmp_path):
    class Slow(ItemTask):
        async def grade(self, problem_id, answer):
            if problem_id == "t0":
                await others.wait()
            return await super().grade(problem_id, answer)

    class Watching:
        def begin(self, arm, total, done): ...

        def on_event(self, event): ...

        def keep(self, record):
            kept.append(record.problem_id)
            if len(kept) == 11:
                others.set()

        def end(self, row): ...

    others, kept = asyncio.Event(), []
    slow = Slow("toy", task.items)
    await asyncio.wait_for(run(slow, arm(), tmp_path, concurrency=1, watcher=Watching()), 20)
    assert kept[-1] == "t0"


async def test_an_interrupted_run_keeps_what_had_ended(task, tmp_path):
    reached = asyncio.Event()

    async def sleep(seconds):
        reached.set()
        await asyncio.Event().wait()

    class Clock:
        def __init__(self):
            self.sleep = sleep

    def simulate(problem, node, seed):
        return Step("\\boxed{0}", 5, seconds=float(problem.id in ("t10", "t11")))

    backend = SimulatedBackend(simulate, clock=Clock())
    chosen = arm(tts.Greedy(), backend)
    with Store(tmp_path, {"arm": chosen.expected(task)}) as store:
        running = asyncio.create_task(evaluate(task, chosen, store=store))
        await reached.wait()
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len(store.done("arm")) == 10
    assert backend.open_streams == 0


# --- batches --------------------------------------------------------------------------------------


def batch(items, simulate=None):
    task = ItemTask("batch", items, max_tokens=100)
    backend = SimulatedBackend(simulate or (lambda *_: Step("\\boxed{7}", 5)))
    return task, replace(arm(tts.Greedy(), backend), open_ended=True, config={"same": True})


def asked(count, **golds):
    return [Item(Problem.chat(f"b{i}", f"question {i}"), golds.get(f"b{i}")) for i in range(count)]


async def test_problems_without_a_known_answer_are_in_no_accuracy(tmp_path):
    row, records = await run(*batch(asked(5, b1="7", b3="8")), tmp_path)
    assert (row.n_problems, row.n_ungraded, row.accuracy) == (5, 3, 0.5)
    assert [r.correct for r in records.values()] == [None, True, None, False, None]
    assert all(r.text == "\\boxed{7}" and r.answer == "7" for r in records.values())
    assert all(c.correct is None for c in records["b0"].candidates)


async def test_nothing_graded_is_no_accuracy(tmp_path):
    row, _ = await run(*batch(asked(3)), tmp_path)
    assert (row.n_ungraded, row.accuracy, row.coverage) == (3, None, None)


async def test_more_problems_of_the_same_batch_go_on(tmp_path):
    await run(*batch(asked(3)), tmp_path)
    task, chosen = batch(asked(5))
    assert chosen.expected(task).configuration == chosen.expected(batch(asked(1))[0]).configuration
    row, records = await run(task, chosen, tmp_path)
    assert row.n_problems == len(records) == 5
    assert chosen.setup.backend.generated == 10, "two were left"


async def test_another_text_under_an_answered_id_is_refused(tmp_path):
    await run(*batch(asked(3)), tmp_path)
    changed = [*asked(2), Item(Problem.chat("b2", "something else"))]
    task, chosen = batch(changed)
    with pytest.raises(ConfigError, match="'b2' is not the one that was answered before"):
        await run(task, chosen, tmp_path)
    assert chosen.setup.backend.generated == 0


async def test_what_failed_may_be_asked_in_other_words(tmp_path):
    def simulate(problem, node, seed):
        if "question 1" in problem.messages[0].content:
            raise BackendError("The line is down.")
        return Step("\\boxed{7}", 5)

    row, _ = await run(*batch(asked(2), simulate), tmp_path)
    assert row.n_failed == 1
    mended = [*asked(1), Item(Problem.chat("b1", "in other words"))]
    row, _ = await run(*batch(mended, simulate), tmp_path, retry_failed=False)
    assert row.n_failed == 1, "nobody asked for it"
    row, records = await run(*batch(mended, simulate), tmp_path)
    assert row.n_failed == 0 and records["b1"].answer == "7"


async def test_a_sitting_may_be_limited(tmp_path):
    for done in (2, 4, 5, 5):
        task, chosen = batch(asked(5))
        row, records = await run(task, chosen, tmp_path, limit=2)
        assert len(records) == row.n_problems == done
    assert chosen.setup.backend.generated == 0


async def test_a_stop_begins_nothing_and_finishes_what_is_in_flight(tmp_path):
    stop, begun = asyncio.Event(), []

    def simulate(problem, node, seed):
        begun.append(problem.id)
        if len(begun) == 4:
            stop.set()
        return Step("\\boxed{7}", 5)

    _, records = await run(*batch(asked(20), simulate), tmp_path, concurrency=2, stop=stop)
    assert 4 <= len(records) <= 6 and set(records) == set(begun)
    _, again = await run(*batch(asked(20), simulate), tmp_path, stop=stop)
    assert set(again) == set(records), "stopped before it began"
    _, rest = await run(*batch(asked(20)), tmp_path)
    assert len(rest) == 20


async def test_what_was_done_before_is_told_without_what_is_taken_up_again(tmp_path):
    class Watching:
        def begin(self, arm, total, done):
            told.append((total, len(done)))

        def on_event(self, event): ...

        def keep(self, outcome): ...

        def end(self, row): ...

    def simulate(problem, node, seed):
        if problem.id == "b1" and len(told) < 3:
            raise BackendError("The line is down.")
        return Step("\\boxed{7}", 5)

    told = []
    for retry in (True, False, True):
        work = batch(asked(4), simulate)
        await run(*work, tmp_path, watcher=Watching(), retry_failed=retry)
    assert told == [(4, 0), (4, 4), (4, 3)]


async def test_the_disk_is_brought_up_to_date_while_it_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("tts.evaluation.runner.SYNC_SECONDS", 0.01)
    synced = threading.Event()

    class Synced(Store):
        def sync(self):
            super().sync()
            synced.set()

    async def sleep(seconds):
        await asyncio.to_thread(synced.wait, 10)

    backend = SimulatedBackend(lambda *_: Step("\\boxed{7}", 5, seconds=1.0))
    backend.clock = types.SimpleNamespace(sleep=sleep)
    task = batch(asked(2))[0]
    chosen = replace(arm(tts.Greedy(), backend), open_ended=True)
    with Synced(tmp_path, {"arm": chosen.expected(task)}) as store:
        row = await evaluate(task, chosen, store=store)
    assert synced.is_set() and row.n_problems == 2


async def test_a_disk_that_cannot_be_brought_up_to_date_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("tts.evaluation.runner.SYNC_SECONDS", 0.0)

    class Broken(Store):
        def sync(self):
            raise OSError("the disk has failed")

    task, chosen = batch(asked(2000))
    with (
        Broken(tmp_path, {"arm": chosen.expected(task)}) as store,
        pytest.raises(OSError, match="the disk has failed"),
    ):
        await evaluate(task, chosen, store=store, concurrency=1)
    assert len(list(read(tmp_path / RESULTS))) < 2000


# --- refused before anything is started ----------------------------------------------------------


def items(*golds):
    return [Item(Problem(f"p{i}", prompt="x"), gold) for i, gold in enumerate(golds)]


class Bare:
    """A task of somebody else's, which checks nothing."""

    name, max_tokens, digest = "bare", 10, "x"

    def __init__(self, items):
        self._items = items

    def __iter__(self):
        return iter(self._items)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([], "has no problems"),
        (items("1", ""), "'p1' has no gold answer"),
        (items("1") * 2, "'p0' occurs twice"),
    ],
)
def test_bad_tasks(found, words):
    with pytest.raises(ConfigError, match=words):
        check(Bare(found), arm().setup)


def test_a_prompt_that_leaves_no_room():
    backend = SimulatedBackend(
        lambda *_: Step("x", 1), tts.types.ModelInfo("simulated", context=50), prompt_length=50
    )
    with pytest.raises(ContextTooLong, match="'p0' has 50 tokens"):
        check(Bare(items("1")), arm(backend=backend).setup)


def test_what_decides_the_outcome_tells_runs_apart(task):
    one, other = replace(arm(), config={"n": 1}), replace(arm(), config={"n": 2})
    assert one.expected(task) == one.expected(task)
    assert one.expected(task).configuration != other.expected(task).configuration
    fewer = ItemTask("toy", task.items[:-1])
    assert one.expected(task).configuration != one.expected(fewer).configuration


# --- blind to the gold answers --------------------------------------------------------------------

GOLD = "424242"


def reachable(*roots):
    """All objects that can be reached through attributes, items, closures and bound methods."""
    seen: dict[int, object] = {}
    queue = list(roots)
    while queue:
        thing = queue.pop()
        if id(thing) in seen or isinstance(thing, type | types.ModuleType):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, dict):
            queue += [*thing.keys(), *thing.values()]
        elif isinstance(thing, list | tuple | set | frozenset):
            queue += thing
        elif isinstance(thing, types.MethodType):
            queue += [thing.__self__, thing.__func__]
        elif isinstance(thing, types.FunctionType):
            queue += [cell.cell_contents for cell in thing.__closure__ or ()]
        else:
            queue += vars(thing).values() if hasattr(thing, "__dict__") else ()
            slots = [s for c in type(thing).__mro__ for s in getattr(c, "__slots__", ())]
            queue += [getattr(thing, s) for s in slots if hasattr(thing, s)]
    return list(seen.values())


def holds_gold(*roots):
    return any(isinstance(thing, str) and GOLD in thing for thing in reachable(*roots))


@dataclass(frozen=True)
class Spy:
    """A strategy that looks everywhere."""

    seen: list[bool] = dataclasses.field(default_factory=list)
    requires: frozenset[str] = frozenset()

    async def __call__(self, problem, env):
        result = await tts.BestOfN(n=2)(problem, env)
        self.seen.append(holds_gold(problem, env))
        return Result(problem.id, result.best, result.candidates)


@dataclass(frozen=True)
class SpyVerifier(LengthVerifier):
    seen: list[bool] = dataclasses.field(default_factory=list)

    async def score(self, problem, trajectories, ctx):
        self.seen.append(holds_gold(problem, trajectories, ctx))
        return await super().score(problem, trajectories, ctx)


def test_the_spy_finds_what_lies_open(task):
    backend = World().backend()
    assert not holds_gold(backend)
    assert holds_gold({"x": [Item(Problem("p", prompt="x"), GOLD)]})
    assert holds_gold(replace(arm(), config={"gold": GOLD}))


async def test_no_strategy_and_no_verifier_sees_a_gold_answer(tmp_path):
    problems = [Item(Problem(f"p{i}", prompt=f"problem {i}"), GOLD) for i in range(4)]
    blind = ItemTask("blind", problems, max_tokens=100)
    strategy, verifier = Spy(), SpyVerifier()
    with Display(Console(file=io.StringIO())) as display:
        _, records = await run(
            blind, arm(strategy, verifier=verifier), tmp_path, concurrency=2, watcher=display
        )
    assert len(strategy.seen) == 4
    assert len(verifier.seen) == 8
    assert not any(strategy.seen + verifier.seen)
    assert all(record.gold == GOLD for record in records.values())
