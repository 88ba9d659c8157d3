"""Evaluate one arm on a task: solve, grade, record; what was done before is not done again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import (
    AsyncGenerator,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import islice
from typing import Protocol, TypeGuard

from tts.budget import Budget
from tts.errors import (
    ConfigError,
    ContextTooLong,
    EndpointDown,
    EngineDead,
    EngineStartFailed,
    GradingError,
)
from tts.evaluation.records import Outcome, Record
from tts.evaluation.store import Expected, Store
from tts.evaluation.summary import Names, Row
from tts.evaluation.trees import Keep, TreeRecord
from tts.executors import Executor
from tts.protocols import Backend
from tts.solve import Setup, solve_all
from tts.tasks import Item, Task
from tts.tasks.task import Indexed, fingerprint
from tts.types import Event, Problem, ProblemId, Result, Trajectory

GRADING_GRACE = 2.0
"""Seconds that answers being graded get when a run is interrupted."""

SYNC_SECONDS = 5.0
"""What a power cut may take: the records of so many seconds."""


@dataclass(frozen=True)
class Arm:
    """What is evaluated under one label.

    Attributes:
        label: Unique in a run.
        setup: How problems are solved; its `on_event` is set by the runner.
        names: What it is made of, in the user's words; for the tables.
        config: All that decides the outcome, of JSON types; the hash that keeps runs apart is
            taken of this and of the task's problems.
        repeats: How often each problem is solved, with draws of its own each time, at least 1.
        keep: How much is kept of what was written on the way.
        total_budget: Limits for all its problems and repeats together, all sittings included; None
            for none.
        open_ended: Whether the task is a stream of requests, and no data set: some may have no
            known answer, or not fit the model (these fail alone), and more may be added later. The
            records hold the whole text of the final answer then.
        executor: Where it is solved, by the same setup, which is then not started here; None for
            this process.
    """

    label: str
    setup: Setup
    names: Names
    config: Mapping[str, object] = field(default_factory=dict)
    repeats: int = 1
    keep: Keep = "texts"
    total_budget: Budget | None = None
    open_ended: bool = False
    executor: Executor | None = None

    def expected(self, task: Task) -> Expected:
        """What a run of this arm on a task consists of."""
        asked = "" if self.open_ended else task.digest
        text = json.dumps([self.config, asked], sort_keys=True, default=str)
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        return Expected(digest, frozenset(_ids(task)), self.repeats)


def _ids(task: Task) -> Iterable[ProblemId]:
    return task.ids if isinstance(task, Indexed) else (item.problem.id for item in task)


class Watcher(Protocol):
    """Is told how a run goes; must be quick."""

    def begin(self, arm: Arm, total: int, done: Sequence[Outcome]) -> None:
        """An arm starts, with what earlier sittings have done and this one leaves as it is."""
        ...

    def on_event(self, event: Event) -> None:
        """Something was spent, published, decided or ended."""
        ...

    def keep(self, outcome: Outcome) -> None:
        """A problem was recorded."""
        ...

    def end(self, row: Row) -> None:
        """An arm has ended."""
        ...


def check(task: Task, setup: Setup) -> None:
    """Refuse a task that cannot be run, before anything is started.

    Raises:
        ConfigError: It is empty, an id occurs twice, or a gold answer is missing.
        ContextTooLong: A prompt leaves no room for an answer.
    """
    seen: set[str] = set()
    for item in task:
        name = item.problem.id
        if name in seen:
            raise ConfigError(f"Task {task.name}: the problem id {name!r} occurs twice.")
        if not item.gold:
            raise ConfigError(
                f"Task {task.name}: problem {name!r} has no gold answer.",
                hint="Every problem needs one; otherwise nothing can be graded.",
            )
        seen.add(name)
        setup.check(item.problem)
        _check_length(item.problem, setup.backend)
        if setup.draft is not None:
            _check_length(item.problem, setup.draft)
    if not seen:
        raise ConfigError(
            f"Task {task.name} has no problems.", hint="Check its file and task.n_problems."
        )


def _check_length(problem: Problem, backend: Backend) -> None:
    model = backend.model
    tokens = backend.prompt_tokens(problem, Trajectory.root())
    if tokens + 1 > model.context:
        raise ContextTooLong(
            f"The prompt of problem {problem.id!r} has {tokens} tokens, which leaves no room for an"
            f" answer in the context of {model.context} of {model.name}.",
            hint="Shorten it, or raise model.engine.max_model_len.",
        )


async def evaluate(
    task: Task,
    arm: Arm,
    *,
    store: Store,
    concurrency: int = 64,
    watcher: Watcher | None = None,
    retry_failed: bool = True,
    limit: int | None = None,
    stop: asyncio.Event | None = None,
) -> Row:
    """Evaluate an arm on a task, and keep a record of each problem as it ends.

    Args:
        task: Problems with gold answers.
        arm: How to solve them.
        store: Where records go, open. Problems that it holds already are left out, unless they
            had failed.
        concurrency: Most problems in flight, at least 1.
        watcher: Is told how it goes.
        retry_failed: Whether problems that failed in an earlier sitting are taken up again.
        limit: Most problems to solve in this sitting; None for all.
        stop: Once it is set, no further problem is begun; those in flight go on to their end.

    Returns:
        The summary; the records are in the store.

    Raises:
        ConfigError: The task or an argument cannot be used; nothing was spent.
        EngineStartFailed: The backend, or the verifier's model, did not come up.
        EngineDead: The engine has died for good; what had ended before is in the store.
        OSError: A record could not be written.
    """
    earlier = store.outcomes(arm.label)
    if arm.open_ended:
        _check_unchanged(task, earlier)
    else:
        check(task, arm.setup)
    done = {(o.problem_id, o.repeat) for o in earlier if not (o.failed and retry_failed)}
    todo = _Todo(task, arm.repeats, done, limit, stop)
    sitting = _Sitting(task, arm, store, watcher, todo)
    if todo:
        await (arm.executor or arm.setup).start()
    if watcher:
        before = [o for o in earlier if (o.problem_id, o.repeat) in done]
        watcher.begin(arm, len(todo) + len(done), before)
    if todo:
        sitting.start()
        await sitting.run(concurrency)
    row = Row.of(arm.label, arm.names, sitting.configuration, store.outcomes(arm.label))
    if watcher:
        watcher.end(row)
    return row


def _check_unchanged(task: Task, earlier: Sequence[Outcome]) -> None:
    """Refuse to go on where other questions were asked under the same names.

    Raises:
        ConfigError: A problem is not the one that was answered.
    """
    answered = {o.problem_id: o.asked for o in earlier if o.asked and not o.failed}
    if not answered:
        return
    if isinstance(task, Indexed):
        found = ((name, task.asked(name)) for name in answered)
    else:
        found = ((item.problem.id, fingerprint(item.problem)) for item in task)
    for name, asked in found:
        if answered.get(name, asked) != asked:
            raise ConfigError(
                f"Task {task.name}: problem {name!r} is not the one that was answered before; its"
                " text has changed.",
                hint="Give it another id, or choose another folder.",
            )


class _Todo:
    """What is left to do, read from the task only when it is asked for.

    Attributes:
        items: By problem and repeat, those that were handed out and not yet taken back.
    """

    def __init__(
        self,
        task: Task,
        repeats: int,
        done: Collection[tuple[str, int]],
        limit: int | None,
        stop: asyncio.Event | None,
    ) -> None:
        self._task, self._repeats, self._done = task, repeats, done
        self._stop = stop
        left = 0 if stop is not None and stop.is_set() else len(task) * repeats - len(done)
        self._count = left if limit is None else min(limit, left)
        self.items: dict[tuple[str, int], Item] = {}

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Problem]:
        return islice(self._problems(), self._count)

    def _problems(self) -> Iterator[Problem]:
        for item in self._items():
            for repeat in range(self._repeats):
                if self._stop is not None and self._stop.is_set():
                    return
                key = (item.problem.id, repeat)
                if key not in self._done:
                    self.items[key] = item
                    yield replace(item.problem, repeat=repeat) if repeat else item.problem

    def _items(self) -> Iterator[Item]:
        """Those of which anything is left, where that is known without reading them."""
        if not isinstance(self._task, Indexed):
            return iter(self._task)
        repeats = range(self._repeats)
        left = (i for i in self._task.ids if any((i, r) not in self._done for r in repeats))
        return self._task.items(left)


def _hopeless(error: Exception | None) -> TypeGuard[Exception]:
    """Whether no further problem can be solved either. An engine that died once starts again."""
    mortal = EngineStartFailed | EngineDead | EndpointDown
    return isinstance(error, mortal) and not error.retryable


class _Sitting:
    """One go at an arm, from its start or a resumption to its end or an interruption."""

    def __init__(
        self, task: Task, arm: Arm, store: Store, watcher: Watcher | None, todo: _Todo
    ) -> None:
        self._arm, self._store, self._watcher = arm, store, watcher
        self._task, self._todo = task, todo
        self.configuration = store.configuration(arm.label)
        self._grading: set[asyncio.Task[None]] = set()
        self._faults: list[BaseException] = []
        self._indexed = task if isinstance(task, Indexed) else None
        self._spent = store.spent(arm.label)
        self._started = 0.0

    def start(self) -> None:
        """Start the clock, behind the time of earlier sittings."""
        self._started = time.monotonic() - self._spent.seconds

    async def run(self, concurrency: int) -> None:
        """Solve, and grade beside the solving: a slow grader must not keep the engine waiting."""
        syncing = asyncio.create_task(self._sync())
        try:
            async with aclosing(self._solve(concurrency)) as results:
                async for result in results:
                    if _hopeless(result.error):
                        raise result.error
                    if syncing.done():
                        syncing.result()
                    self._check()
                    self._spawn(self._keep(result))
            await asyncio.gather(*self._grading)
            self._check()
        finally:
            if self._grading:
                await asyncio.wait(self._grading, timeout=GRADING_GRACE)
            ending = (syncing, *self._grading)
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def _sync(self) -> None:
        """Bring what was recorded to the disk, again and again; the end of the store does too."""
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            await asyncio.to_thread(self._store.sync)

    def _solve(self, concurrency: int) -> AsyncGenerator[Result]:
        setup, total = self._arm.setup, self._arm.total_budget
        on_event = self._watcher.on_event if self._watcher else None
        if (executor := self._arm.executor) is not None:
            return executor.solve(
                self._todo,
                concurrency=concurrency,
                total_budget=total,
                spent=self._spent,
                on_event=on_event,
            )
        options = {f.name: getattr(setup, f.name) for f in fields(setup)}
        options |= {"on_event": on_event, "total_budget": total, "spent": self._spent}
        return solve_all(self._todo, concurrency=concurrency, **options)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        """Start a grading."""
        task = asyncio.create_task(work)
        self._grading.add(task)
        task.add_done_callback(self._graded)

    def _graded(self, task: asyncio.Task[None]) -> None:
        self._grading.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._faults.append(fault)

    def _check(self) -> None:
        """Raise what a grading could not record (a full disk, say)."""
        if self._faults:
            raise self._faults[0]

    async def _keep(self, result: Result) -> None:
        """Grade and record a result, and tell the watcher."""
        item = self._todo.items[result.problem_id, result.repeat]
        open_ended = self._arm.open_ended
        about = {
            "arm": self._arm.label,
            "configuration": self.configuration,
            "gold": item.gold,
            "asked": self._asked(item),
            "text": result.best.trajectory.text if open_ended and result.best else None,
            "seed": self._arm.setup.seed,
            "elapsed": time.monotonic() - self._started,
            "sitting": self._spent.seconds,
        }
        error: Exception | None = result.error
        if error is None:
            try:
                known = item.gold is not None
                grade = partial(self._task.grade, result.problem_id) if known else None
                record = await Record.ended(result, grade, **about)
            except GradingError as fault:
                error = fault
        if error is not None:
            record = Record.failure(result, error, **about)
        tree = None
        if self._arm.keep != "nothing":
            tokens = self._arm.keep == "tokens"
            tree = TreeRecord.of(result, self.configuration, tokens=tokens)
        outcome = self._store.append(record, tree)
        del self._todo.items[result.problem_id, result.repeat]
        if self._watcher:
            self._watcher.keep(outcome)

    def _asked(self, item: Item) -> str:
        """The fingerprint of a problem, which some tasks know already."""
        name = item.problem.id
        return self._indexed.asked(name) if self._indexed else fingerprint(item.problem)
