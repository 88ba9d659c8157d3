"""Runs in an experiment tracker: one of its runs an arm, fed while it goes.

Knows no particular tracker: `Tracker` and `Book` are what one must be able to do. All calls happen
in a thread of their own, in order; a tracker that fails is left out, and the run goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tts.evaluation.records import Outcome
from tts.evaluation.runner import Arm
from tts.evaluation.summary import Row
from tts.evaluation.tally import Tally
from tts.integrations._courier import Courier
from tts.types import Event, Spent

INTERVAL = 5.0
"""Least seconds between two looks at the figures."""

PATIENCE = 60.0
"""Seconds that a tracker gets at the end to take in what is left."""

LONGEST = 500
"""Most characters of a parameter's value; what is longer stands in the configuration's file."""


class Book(Protocol):
    """One run of a tracker. May raise whatever it likes."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Note some figures, after `step` problems."""
        ...

    def keep(self, files: Sequence[Path]) -> None:
        """Keep some files."""
        ...

    def close(self, *, failed: bool) -> None:
        """Nothing more will come."""
        ...


class Tracker(Protocol):
    """Where runs are kept."""

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    def begin(self, name: str, parameters: Mapping[str, str]) -> Book:
        """Start a run."""
        ...


class Journal:
    """All that a command tells a tracker.

    Args:
        tracker: Where to.
        say: Tells the user that the tracker is left out.
        clock: Seconds, from any point in time.
    """

    def __init__(
        self,
        tracker: Tracker,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tracker = tracker
        self._courier = Courier(tracker.name, say)
        self._clock = clock

    def chapter(self) -> Chapter:
        """What is told of one arm."""
        return Chapter(self._tracker, self._courier, self._clock)

    def close(self, seconds: float = PATIENCE) -> None:
        """Have the tracker take in what is left, for so long at most."""
        self._courier.close(seconds)


class Chapter:
    """Tells a tracker of one arm. Implements `tts.evaluation.runner.Watcher`."""

    def __init__(self, tracker: Tracker, courier: Courier, clock: Callable[[], float]) -> None:
        self._tracker, self._courier, self._clock = tracker, courier, clock
        self._book: Book | None = None
        self._tally: Tally | None = None
        self._last = clock()
        self._open = False

    def begin(self, arm: Arm, total: int, done: Sequence[Outcome]) -> None:
        """The arm starts: a run with its parameters."""
        self._tally = Tally(arm, total, self._clock)
        self._tally.begin([outcome for outcome in done if not outcome.failed])
        given = parameters({**arm.names.model_dump(), **arm.config, "repeats": arm.repeats})
        self._open = True
        self._courier.send(lambda: self._begin(arm.label, {**given, "problems": str(total)}))

    def _begin(self, label: str, given: Mapping[str, str]) -> None:
        self._book = self._tracker.begin(label, given)

    def on_event(self, event: Event) -> None:
        """Something was spent."""
        if isinstance(event, Spent) and self._tally is not None:
            self._tally.spent += event.usage

    def keep(self, outcome: Outcome) -> None:
        """A problem was recorded; now and then the figures are told."""
        if self._tally is None:
            return
        self._tally.count(outcome)
        now = self._clock()
        if now - self._last >= INTERVAL:
            self._last = now
            self._log(self._tally.done, _figures(self._tally))

    def end(self, row: Row) -> None:
        """The arm has ended: the figures of its row."""
        if self._tally is not None:
            self._log(self._tally.done, {**_figures(self._tally), **_numbers(row)})

    def files(self, paths: Sequence[Path]) -> None:
        """Keep files of the run."""
        self._send(lambda book: book.keep(paths))

    def close(self, *, failed: bool) -> None:
        """Nothing more will come; safe to call again."""
        if self._open:
            self._open = False
            self._send(lambda book: book.close(failed=failed))

    def _log(self, step: int, values: Mapping[str, float]) -> None:
        self._send(lambda book: book.log(step, values))

    def _send(self, work: Callable[[Book], None]) -> None:
        def do() -> None:
            if self._book is not None:
                work(self._book)

        self._courier.send(do)


def _figures(tally: Tally) -> dict[str, float]:
    """What has come of an arm so far, earlier sittings included."""
    spent = tally.earlier + tally.spent
    found: dict[str, float] = {
        "progress/problems": tally.done,
        "progress/failed": tally.failed,
        "progress/completion_tokens": spent.completion_tokens,
        "progress/total_tokens": spent.total_tokens,
        "progress/usd": spent.usd,
    }
    if tally.accuracy is not None:
        found["progress/accuracy"] = tally.accuracy
    return found


def parameters(config: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """A nested configuration as dotted names with short texts."""
    found: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= parameters(value, f"{prefix}{key}.")
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            found[f"{prefix}{key}"] = text[:LONGEST]
    return found


def _numbers(row: Row) -> dict[str, float]:
    """The figures of a row."""
    return {
        name: float(value)
        for name, value in row.model_dump().items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
