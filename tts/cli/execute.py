"""Run jobs: check everything, start each engine once, evaluate arm after arm, report."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from tts.cli.claims import Pledge, decide, read_pledges
from tts.cli.jobs import Job, short
from tts.cli.observers import Observers
from tts.cli.workshop import Work, Workshop
from tts.errors import ConfigError
from tts.evaluation import store as files
from tts.evaluation.claims import Claim
from tts.evaluation.curves import Curve, curve_of
from tts.evaluation.progress import Display
from tts.evaluation.provenance import command_line, provenance
from tts.evaluation.records import Outcome
from tts.evaluation.report import markdown, show, title
from tts.evaluation.runner import evaluate
from tts.evaluation.statistics import Outcomes
from tts.evaluation.store import Expected, Store, write_atomically
from tts.evaluation.summary import Row, adjusted, by_problem, costs_by_problem, dump
from tts.protocols import Backend, Startable


def execute(jobs: Sequence[Job]) -> bool:
    """Run jobs one after the other.

    Returns:
        Whether any problem failed.

    Raises:
        ConfigError: Something cannot be used; nothing was spent.
        TTSError: A fault ended the run.
        KeyboardInterrupt: The user did; the folder tells how to go on.
    """
    with _opened(jobs) as run:
        run.solve()
        return run.report()


def record(jobs: Sequence[Job]) -> None:
    """Run jobs one after the other, and leave the reports to `conclude`.

    Raises:
        As `execute`.
    """
    with _opened(jobs) as run:
        run.solve()


def conclude(jobs: Sequence[Job]) -> bool:
    """Report on jobs that were recorded, wherever that was; nothing is started.

    Returns:
        Whether any problem failed.

    Raises:
        ConfigError: One of them is not the one that was recorded, or has not ended.
    """
    with _opened(jobs, ended=True) as run:
        run.solve()
        return run.report()


@contextmanager
def _opened(jobs: Sequence[Job], *, ended: bool = False) -> Iterator[_Run]:
    """A block with open folders; `ended` if nothing is to be solved in it."""
    pledges = [read_pledges(job.config, [arm.label for arm in job.arms]) for job in jobs]
    workshop = Workshop()
    works = [workshop.work(job, arm) for job in jobs for arm in job.arms]
    with ExitStack() as stack:
        display = stack.enter_context(Display(Console(stderr=True, highlight=False)))
        listen(display)
        observers = Observers({} if ended else jobs[0].config, works, display)
        stack.enter_context(observers)
        run = _Run(jobs, works, pledges, display, observers, ended=ended)
        run.open(stack)
        yield run


class _Lines(logging.Handler):
    """Shows what parts of the package log, without disturbing a moving line."""

    def __init__(self, display: Display) -> None:
        super().__init__(logging.INFO)
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        """Show one message."""
        self._display.say(record.getMessage())


def listen(display: Display) -> None:
    """Show what parts of the package log."""
    logger = logging.getLogger("tts")
    logger.handlers = [_Lines(display)]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _Run:
    """All jobs of a command, from open folders to reports."""

    def __init__(
        self,
        jobs: Sequence[Job],
        works: Sequence[Work],
        pledges: Sequence[Sequence[Pledge]],
        display: Display,
        observers: Observers,
        *,
        ended: bool,
    ) -> None:
        self._jobs, self._works, self._pledges = jobs, works, pledges
        self._display, self._observers, self._ended = display, observers, ended
        self._stores: dict[int, Store] = {}
        self._rows: dict[int, Row] = {}
        # One engine after the other: two may not fit the memory, and each is started once.
        self._queues: dict[int, list[Work]] = {}
        for work in works:
            self._queues.setdefault(id(work.arm.setup.backend), []).append(work)

    def open(self, stack: ExitStack) -> None:
        """Open the folders: lock, repair, move aside what is in the way, write where we are from.

        Raises:
            ConfigError: Another run is writing to one of them, or a sweep's is taken.
        """
        sweep = self._jobs[0].sweep
        if sweep and (sweep / files.RESULTS).exists():
            raise ConfigError(
                f"{nice(sweep)} holds a single run, and a sweep would write over its summary.",
                hint="Choose another folder with hydra.sweep.dir=...",
            )
        for job in self._jobs:
            works = self._of(job)
            expected = {work.arm.label: work.arm.expected(work.task) for work in works}
            store = stack.enter_context(Store(job.folder, expected))
            self._stores[id(job)] = store
            if not self._ended:
                self._tell(store)
                write_origins(job, works, expected)

    def solve(self) -> None:
        """Evaluate everything; an interruption tells how to go on."""
        try:
            asyncio.run(self._all())
        except BaseException:
            self.say_how_to_resume()
            raise

    async def _all(self) -> None:
        """Evaluate everything, engine by engine."""
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        # Closed after its last use: a verifier may be needed with the next backend too.
        last = {id(part): part for queue in self._queues.values() for part in closable(queue)}
        left = list(self._queues.values())
        try:
            while left:
                for work in left.pop(0):
                    await self._one(work)
                needed = {id(part) for queue in left for part in closable(queue)}
                await close(last.pop(name) for name in set(last) - needed)
        finally:
            await close(last.values())

    async def _one(self, work: Work) -> None:
        store, arm = self._stores[id(work.job)], work.arm
        if self._ended and len(store.outcomes(arm.label)) < len(work.task) * arm.repeats:
            raise ConfigError(
                f"{nice(work.job.folder)} holds no whole run of {arm.label} to report on.",
                hint="The same command again, with this hydra.sweep.dir, goes on with it.",
            )
        with self._observers.watching(work) as (arm, watcher):
            self._rows[id(work)] = await evaluate(
                work.task,
                arm,
                store=store,
                concurrency=work.concurrency,
                watcher=None if self._ended else watcher,
                limit=0 if self._ended else None,
            )

    def report(self) -> bool:
        """Write and show the tables and pictures of all jobs, and of the sweep if it is one.

        Only now, when all is done: a job with a summary counts as finished, and would start again
        if the rest of its sweep were resumed.

        Returns:
            Whether any problem failed.
        """
        console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
        everything: list[tuple[Row, Work]] = []
        claims: list[Claim] = []
        curves = self._curves()
        for job, pledges in zip(self._jobs, self._pledges, strict=True):
            works = self._of(job)
            rows = self._compared([(self._rows[id(work)], work) for work in works])
            decided = self._decided(works, pledges, title(rows))
            claims += decided
            write_report(job.folder, rows, decided, curves)
            self._observers.report(works, job.folder)
            everything += [(_labelled(self._rows[id(work)], job), work) for work in works]
        sweep = self._jobs[0].sweep
        folder = sweep or self._jobs[0].folder
        rows = self._compared(everything)
        if sweep:
            write_report(sweep, rows, claims, curves)
        show(rows, console, claims)
        console.print(f"Results: {nice(folder)}", style="bold")
        return any(row.n_failed for row in rows)

    def say_how_to_resume(self) -> None:
        """Tell what is safe, and how to go on."""
        done = sum(len(self._stores[id(work.job)].done(work.arm.label)) for work in self._works)
        total = sum(len(work.task) * work.arm.repeats for work in self._works)
        if not done:
            self._display.say("Stopped before a problem was done.")
            return
        job = self._jobs[0]
        field = "sweep" if job.sweep else "run"
        folder = job.sweep or job.folder
        self._display.say(
            f"Stopped with {done:,} of {total:,} problems done; they are in {nice(folder)}."
            f" The same command with hydra.{field}.dir={nice(folder)} goes on from there."
        )

    def _of(self, job: Job) -> list[Work]:
        return [work for work in self._works if work.job is job]

    def _compared(self, pairs: Sequence[tuple[Row, Work]]) -> list[Row]:
        """The rows, each but the first with its comparison to the first on the same task."""
        head, first = pairs[0]
        reference = self._outcomes(first)
        rows = [head]
        for row, work in pairs[1:]:
            same = work.task.digest == first.task.digest
            rows.append(row.against(self._outcomes(work), reference) if same else row)
        return adjusted(rows)

    def _curves(self) -> dict[str, Curve]:
        """By configuration, what each arm would have reached with fewer of its samples."""
        found = {}
        for work in self._works:
            store, label = self._stores[id(work.job)], work.arm.label
            outcomes = store.outcomes(label)
            records = (store.record(label, o.problem_id, o.repeat) for o in outcomes)
            found[self._rows[id(work)].configuration] = curve_of(work.arm.setup, records)
        return {configuration: curve for configuration, curve in found.items() if curve}

    def _decided(self, works: Sequence[Work], pledges: Sequence[Pledge], on: str) -> list[Claim]:
        by_label = {work.arm.label: work for work in works}

        def outcomes(label: str, cost: str) -> Outcomes:
            found = self._outcomes(by_label[label])
            return costs_by_problem(found, cost) if cost else by_problem(found)

        return decide(pledges, outcomes, on=on, command=shlex.join(command_line()))

    def _outcomes(self, work: Work) -> list[Outcome]:
        return self._stores[id(work.job)].outcomes(work.arm.label)

    def _tell(self, store: Store) -> None:
        if store.moved:
            self._display.say(f"An earlier run was in the way and is now in {nice(store.moved)}.")
        if store.continued:
            self._display.say(
                f"Going on in {nice(store.folder)}: {store.continued:,} problems are done."
            )


def write_origins(job: Job, works: Sequence[Work], expected: Mapping[str, Expected]) -> None:
    """Write where the results of a job come from."""
    pairs = ((w.arm.setup.backend, w.arm.setup.draft) for w in works)
    backends = list({id(b): b for pair in pairs for b in pair if b is not None}.values())
    judges = {id(v): v for work in works if (v := work.arm.setup.verifier)}
    about = provenance(job.config, backends, list(judges.values()), command_line())
    about["arms"] = {w.arm.label: expected[w.arm.label].configuration for w in works}
    text = json.dumps(about, indent=2, default=str) + "\n"
    write_atomically(job.folder / files.CONFIG, job.yaml())
    write_atomically(job.folder / files.PROVENANCE, text)


def closable(queue: Sequence[Work]) -> list[Backend | Startable]:
    """What a queue's works leave open: backend, draft models, verifiers, and workers elsewhere."""
    verifiers = [v for work in queue if (v := work.arm.setup.verifier)]
    drafts = [d for work in queue if (d := work.arm.setup.draft)]
    return [
        queue[0].arm.setup.backend,
        *drafts,
        *(v for v in verifiers if isinstance(v, Startable)),
        *(executor for work in queue if (executor := work.arm.executor)),
    ]


async def close(parts: Iterable[Backend | Startable]) -> None:
    """Close all of them, also if one cannot be."""
    closed = await asyncio.gather(*(part.aclose() for part in parts), return_exceptions=True)
    for error in closed:
        if isinstance(error, BaseException):
            raise error


def _labelled(row: Row, job: Job) -> Row:
    """A row of a sweep, labelled with what was varied."""
    varied = [short(o) for o in job.swept if o != f"strategy={row.strategy}"]
    return row.model_copy(update={"strategy": " ".join([row.strategy, *varied])})


def write_report(
    folder: Path, rows: Sequence[Row], claims: Sequence[Claim], curves: Mapping[str, Curve]
) -> None:
    """Write tables, picture and summary; the summary last, as the sign of a finished run."""
    from tts.evaluation.plot import draw

    write_atomically(folder / files.TABLE, markdown(rows, claims))
    if claims:
        text = json.dumps([asdict(claim) for claim in claims], indent=2) + "\n"
        write_atomically(folder / files.CLAIMS, text)
    draw(rows, folder / files.PICTURE, curves)
    write_atomically(folder / files.SUMMARY, dump(rows))


def nice(folder: Path) -> str:
    """As short as it can be typed from here."""
    short = os.path.relpath(folder)
    return str(folder) if short.startswith("..") else short
