"""`tts tune-sampling` at work: pilots, held-out comparisons, and what is left in the folder.

All that is solved is kept as it ends, so the same command goes on where it was stopped. Tunings of
one engine follow each other, and it is closed before the next one starts.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tts.cli._sampling_order import Tuning
from tts.cli._sampling_table import document, saved
from tts.cli.execute import closable, close, listen, nice, write_origins, write_report
from tts.cli.workshop import Work
from tts.errors import ConfigError
from tts.evaluation.progress import Display
from tts.evaluation.runner import evaluate
from tts.evaluation.statistics import accuracy
from tts.evaluation.store import Store, write_atomically
from tts.evaluation.summary import Row
from tts.protocols import Backend, Startable
from tts.tuning.sampling.contest import GOES, Contest
from tts.tuning.sampling.finding import Finding, Tried
from tts.tuning.sampling.halving import Ask, Halving

DOCUMENT, PICTURE, CONFIGS = "tuning.json", "tuning.png", "tuned"
PILOT, HELD_OUT = "pilot", "held-out"


def run(tunings: Sequence[Tuning], out: Path) -> list[Finding]:
    """Hold all tunings, and write what was found.

    Args:
        tunings: Checked.
        out: Folder.

    Raises:
        ConfigError: A folder cannot be used.
        TTSError: A fault ended it; what was solved before is kept.
        KeyboardInterrupt: The user did.
    """
    from tts.tuning.sampling.plot import draw

    with Display(Console(stderr=True, highlight=False)) as display:
        listen(display)
        try:
            findings = asyncio.run(_all(tunings, display))
        except (KeyboardInterrupt, asyncio.CancelledError):
            display.say(f"Stopped; the same command goes on with what is in {nice(out)}.")
            raise
    (out / CONFIGS).mkdir(exist_ok=True)
    for tuning, finding in zip(tunings, findings, strict=True):
        write_atomically(out / CONFIGS / f"{tuning.name}.yaml", saved(tuning, finding))
    draw(findings, out / PICTURE)
    write_atomically(out / DOCUMENT, json.dumps(document(findings), indent=2) + "\n")
    return findings


async def _all(tunings: Sequence[Tuning], display: Display) -> list[Finding]:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    queues: dict[int, list[Tuning]] = {}
    for tuning in tunings:
        queues.setdefault(id(tuning.backend), []).append(tuning)
    found: dict[int, Finding] = {}
    left = list(queues.values())
    # Closed after its last use: a verifier may be needed with the next engine too.
    last = {id(part): part for queue in left for part in _closable(queue)}
    try:
        while left:
            for tuning in left.pop(0):
                found[id(tuning)] = await _Bench(tuning, display).run()
            needed = {id(part) for queue in left for part in _closable(queue)}
            await close(last.pop(name) for name in set(last) - needed)
    finally:
        await close(last.values())
    return [found[id(tuning)] for tuning in tunings]


def _closable(queue: Sequence[Tuning]) -> list[Backend | Startable]:
    return closable([work for tuning in queue for work in tuning.held_out.values()])


def _unjudged(halving: Halving) -> Iterator[str]:
    """What is to be said of problems that failed."""
    lost = max((rung.problems - rung.judged for rung in halving.rungs), default=0)
    if lost:
        yield f"{lost} problems of the pilot failed under some setting, and count for none."


class _Bench:
    """One go at a tuning."""

    def __init__(self, tuning: Tuning, display: Display) -> None:
        self._tuning, self._display = tuning, display
        self._rungs = len(tuning.halving().plan)

    async def run(self) -> Finding:
        """Choose on the pilot, and compare on the held-out problems."""
        tuning, halving = self._tuning, self._tuning.halving()
        self._display.say(f"{tuning.title}: {len(tuning.entrants)} settings.")
        tried = await self._pilot(halving)
        winner = next(c for c in tuning.space.candidates if c.label == halving.winner)
        default, tuned = await self._held_out(winner.label)
        return Finding(
            name=tuning.name,
            title=tuning.title,
            about=tuning.about.model_dump(),
            tried=tried,
            skipped=tuning.space.skipped,
            rungs=tuple(halving.rungs),
            winner=winner,
            default=default,
            tuned=tuned,
            notes=(*tuning.notes, *_unjudged(halving)),
        )

    async def _pilot(self, halving: Halving) -> tuple[Tried, ...]:
        tuning = self._tuning
        works = [
            replace(tuning.held_out[label], arm=each.arm, task=each.pilot)
            for label, each in tuning.entrants.items()
        ]
        with self._opened(PILOT, works) as store:
            contest = Contest(tuning.entrants, store, self._display, self._tell)
            await contest.hold(halving)
            found = []
            for candidate in tuning.space.candidates:
                values = contest.values(candidate.label)
                interval = accuracy(values)
                if interval is None:
                    raise ConfigError(
                        f"No pilot problem could be graded under {candidate.label}.",
                        hint=f"{nice(store.folder)} says why.",
                    )
                seen = sum(candidate.label in rung.means for rung in halving.rungs)
                tokens = contest.tokens(candidate.label)
                found.append(Tried(candidate, seen, len(values), interval, tokens))
        return tuple(found)

    def _tell(self, asked: Ask) -> None:
        """Say what a rung begins with."""
        if not asked.start or asked.rung:
            self._display.say(
                f"Rung {asked.rung + 1} of {self._rungs}: {len(asked.arms)} settings on"
                f" {asked.stop} problems of the pilot."
            )

    async def _held_out(self, winner: str) -> tuple[Row, Row | None]:
        """The default on the held-out problems, and the winner if it is another."""
        works = self._tuning.held_out
        default = self._tuning.space.default.label
        with self._opened(HELD_OUT, list(works.values())) as store:
            labels = list(dict.fromkeys([default, winner]))
            self._display.say(f"Held-out problems: {', '.join(labels)}.")
            rows = {label: await self._evaluated(works[label], store) for label in labels}
            if winner != default:
                theirs = store.outcomes(winner), store.outcomes(default)
                rows[winner] = rows[winner].against(*theirs)
            write_report(store.folder, list(rows.values()), [], {})
        return rows[default], rows[winner] if winner != default else None

    async def _evaluated(self, work: Work, store: Store) -> Row:
        """An arm on its problems; what fails has a second go."""
        for _ in range(GOES):
            row = await evaluate(
                work.task,
                work.arm,
                store=store,
                concurrency=work.concurrency,
                watcher=self._display,
            )
            if not row.n_failed:
                break
        return row

    @contextmanager
    def _opened(self, part: str, works: Sequence[Work]) -> Iterator[Store]:
        """A block with the folder of a part; it holds all candidates, and keeps what it holds."""
        job = replace(self._tuning.job, folder=self._tuning.job.folder / part)
        expected = {work.arm.label: work.arm.expected(work.task) for work in works}
        with Store(job.folder, expected, lasting=True) as store:
            write_origins(job, works, expected)
            yield store
