"""One sitting at a batch: checks, an engine, requests side by side, and what came of it."""

from __future__ import annotations

import asyncio
import signal
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tts.cli import execute
from tts.cli.jobs import Job
from tts.cli.observers import Observers
from tts.cli.run import SOME_FAILED
from tts.cli.workshop import Work, Workshop
from tts.engine.heap import HEAP
from tts.errors import TTSError
from tts.evaluation import store as files
from tts.evaluation.progress import Display
from tts.evaluation.records import Outcome
from tts.evaluation.report import show
from tts.evaluation.runner import Arm, Watcher, evaluate
from tts.evaluation.store import Store
from tts.evaluation.summary import Row
from tts.tasks import RequestsTask
from tts.tasks.requests import explained
from tts.types import Event

STOPPED = 130
"""Exit code of a batch that was stopped before its end."""


@dataclass(frozen=True)
class Batch:
    """What is asked of a sitting.

    Attributes:
        limit: Most requests; None for all.
        retry_failed: Whether those that failed are taken up again.
        max_disk: Bytes of records and texts at which it stops; None for no limit.
    """

    limit: int | None = None
    retry_failed: bool = False
    max_disk: int | None = None


def serve(job: Job, batch: Batch) -> int:
    """Answer what is left of the requests of a job.

    Returns:
        The exit code.

    Raises:
        ConfigError: Something cannot be used; nothing was spent.
        TTSError: A fault ended it; what had ended before is recorded.
    """
    work = Workshop().work(job, job.arms[0], open_ended=True)
    with ExitStack() as stack:
        display = stack.enter_context(Display(Console(stderr=True, highlight=False)))
        execute.listen(display)
        expected = {work.arm.label: work.arm.expected(work.task)}
        store = stack.enter_context(Store(job.folder, expected, lasting=True))
        HEAP.hold()  # what is known of the requests and of earlier sittings stays to the end
        stack.callback(HEAP.release)
        execute.write_origins(job, [work], expected)
        observers = stack.enter_context(Observers(job.config, [work], display))
        sitting = _Sitting(work, store, display, observers, batch)
        sitting.greet()
        try:
            row = asyncio.run(sitting.run())
        except asyncio.CancelledError:
            sitting.say_how_to_resume()
            return STOPPED
        except OSError as error:
            sitting.say_how_to_resume()
            raise TTSError(
                f"{error.filename or 'The disk'}: {error.strerror or error}.",
                hint="What had ended is kept; mend it, and the same command goes on.",
            ) from error
        except BaseException:
            sitting.say_how_to_resume()
            raise
        return sitting.report(row)


def forecast(job: Job) -> int:
    """Say what a batch would cost; nothing is asked, and nothing written.

    Returns:
        The exit code.
    """
    from tts.cli._costs import work_out

    work = Workshop().work(job, job.arms[0], open_ended=True)
    say = Console(stderr=True, highlight=False).print
    for line in _found(work.task):
        say(line, markup=False, soft_wrap=True)
    options = Namespace(agreement=0.6, tokens_per_second=None, earlier=Path("outputs"))
    work_out([job], options, open_ended=True).show()
    return 0


class _Sitting:
    """From the first look at a batch to its report. Watches, to keep within the disk."""

    def __init__(
        self, work: Work, store: Store, display: Display, observers: Observers, batch: Batch
    ) -> None:
        self._work, self._store, self._display, self._batch = work, store, display, batch
        self._observers = observers
        self._told: Watcher = display
        self._stop = asyncio.Event()

    def greet(self) -> None:
        """Say what was found."""
        for line in _found(self._work.task):
            self._display.say(line)
        if outcomes := self._outcomes():
            again = sum(o.failed for o in outcomes)
            done = f"{len(outcomes):,} of {self._total:,} requests are done"
            said = f"Going on in {self._folder}: {done}"
            self._display.say(f"{said}, {again:,} of them failed." if again else f"{said}.")
        self._look_at_the_disk()

    async def run(self) -> Row:
        """Answer, until the end or until somebody stops it."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, self._interrupt, task)
        work = self._work
        try:
            with self._observers.watching(work) as (arm, self._told):
                return await evaluate(
                    work.task,
                    arm,
                    store=self._store,
                    concurrency=work.concurrency,
                    watcher=self,
                    retry_failed=self._batch.retry_failed,
                    limit=self._batch.limit,
                    stop=self._stop,
                )
        finally:
            await execute.close(execute.closable([work]))

    def _interrupt(self, task: asyncio.Task[object]) -> None:
        """The first time gently."""
        if self._stop.is_set():
            task.cancel()
            return
        self._stop.set()
        self._display.say(
            "Stopping: what is in flight goes on to its end. Once more (Ctrl-C) leaves it."
        )

    # --- watching ---

    def begin(self, arm: Arm, total: int, done: Sequence[Outcome]) -> None:
        """The batch starts."""
        self._told.begin(arm, total, done)

    def on_event(self, event: Event) -> None:
        """Something was spent."""
        self._told.on_event(event)

    def keep(self, outcome: Outcome) -> None:
        """A request was recorded."""
        self._told.keep(outcome)
        self._look_at_the_disk()

    def _look_at_the_disk(self) -> None:
        most = self._batch.max_disk
        if most is not None and not self._stop.is_set() and self._store.size >= most:
            self._stop.set()
            self._display.say(f"Stopping: records and texts take {self._store.size:,} bytes.")

    def end(self, row: Row) -> None:
        """The sitting has ended."""
        self._told.end(row)

    # --- telling ---

    def report(self, row: Row) -> int:
        """Write and show what came of it.

        Returns:
            The exit code.
        """
        outcomes = self._outcomes()
        execute.write_report(self._store.folder, [row], [], {})
        self._observers.report([self._work], self._store.folder)
        console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
        show([row], console)
        for line in self._totals(outcomes):
            console.print(line, markup=False, soft_wrap=True)
        console.print(f"Results: {self._folder}/{files.RESULTS}", style="bold")
        if len(outcomes) < self._total:
            self.say_how_to_resume()
            if self._stop.is_set() or self._batch.limit is None:
                return STOPPED
        failed = any(outcome.failed for outcome in outcomes)
        return SOME_FAILED if failed or _task(self._work.task).broken else 0

    def _totals(self, outcomes: Sequence[Outcome]) -> list[str]:
        counts = Counter(
            "failed" if o.failed else "answered" if o.answered else "without an answer"
            for o in outcomes
        )
        parts = ", ".join(f"{count:,} {what}" for what, count in counts.most_common())
        said = [f"{len(outcomes):,} of {self._total:,} requests: {parts or 'none yet'}."]
        if counts["failed"]:
            said.append(f"{self._reasons(outcomes)} --retry-failed takes them up again.")
        if broken := _task(self._work.task).broken:
            said.append(f"{len(broken):,} lines could not be used: {explained(broken)}.")
        return said

    def _reasons(self, outcomes: Sequence[Outcome]) -> str:
        """Why requests failed, the commonest reasons first."""
        label = self._work.arm.label
        failed = [o for o in outcomes if o.failed]
        errors = (self._store.record(label, o.problem_id, o.repeat).error for o in failed)
        kinds = Counter(error.partition(":")[0] for error in errors)
        first = self._store.record(label, failed[0].problem_id, failed[0].repeat)
        told = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common())
        return f"Failed: {told}; the first, {first.problem_id!r}: {first.error.rstrip('.')}."

    def say_how_to_resume(self) -> None:
        """Tell what is safe, and how to go on."""
        done = len(self._outcomes())
        self._display.say(
            f"{done:,} of {self._total:,} requests are in {self._folder}; the same command goes on"
            " from there."
        )

    def _outcomes(self) -> list[Outcome]:
        return self._store.outcomes(self._work.arm.label)

    @property
    def _total(self) -> int:
        return len(self._work.task) * self._work.arm.repeats

    @property
    def _folder(self) -> str:
        return execute.nice(self._store.folder)


def _task(task: object) -> RequestsTask:
    assert isinstance(task, RequestsTask)
    return task


def _found(task: object) -> list[str]:
    """What is to be said of an input before anything is spent."""
    task = _task(task)
    said = []
    if task.broken:
        lines = "line" if len(task.broken) == 1 else "lines"
        said.append(
            f"{len(task.broken):,} {lines} of {task.path} cannot be used: {explained(task.broken)}."
            f" The other {len(task):,} go on."
        )
    if task.settings:
        said.append(
            f"{task.path}: {', '.join(task.settings)} of its requests are not read; what this"
            " command is told counts."
        )
    return said
