"""How a run goes, on the terminal: a live line, or plain lines where nobody can see it move."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from tts.evaluation.records import Outcome
from tts.evaluation.runner import Arm
from tts.evaluation.summary import Row
from tts.evaluation.tally import Tally
from tts.types import Event, Spent

LINE_SECONDS = 5.0
"""Time between plain lines."""


class Display:
    """Shows how a run goes. Implements `tts.evaluation.runner.Watcher`; use it as a block.

    Args:
        console: Where to; on anything but a terminal plain lines are written.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        self._bar = TaskID(0)
        self._tally: Tally | None = None
        self._last = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def say(self, text: str) -> None:
        """A line of its own, above the moving one."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def begin(self, arm: Arm, total: int, done: Sequence[Outcome]) -> None:
        """An arm starts."""
        self._tally = tally = Tally(arm, total, time.monotonic)
        tally.begin(done)
        self._last = time.monotonic()
        if self._console.is_terminal:
            self._bars = _bars(self._console)
            name = f"{arm.label:20}"
            self._bar = self._bars.add_task(name, total=total, completed=tally.done, status="")
            self._bars.start()

    def on_event(self, event: Event) -> None:
        """Something was spent; other events are of no concern here."""
        if isinstance(event, Spent) and self._tally is not None:
            self._tally.spent += event.usage
            self._refresh(self._tally)

    def keep(self, outcome: Outcome) -> None:
        """A problem was recorded."""
        if self._tally is not None:
            self._tally.count(outcome)
            self._refresh(self._tally)

    def end(self, row: Row) -> None:
        """An arm has ended."""
        if self._tally is not None:
            self._refresh(self._tally, ended=True)
        self._stop()

    def _stop(self) -> None:
        """Leave the line as it stands: the start of a next engine writes below it."""
        if self._bars:
            self._bars.stop()
        self._bars = None

    def _refresh(self, tally: Tally, *, ended: bool = False) -> None:
        now = time.monotonic()
        if self._bars:
            if ended or now - self._last > 0.2:
                self._last = now
                status = _status(tally, ended=ended)
                self._bars.update(self._bar, completed=tally.done, status=status)
        elif ended or now - self._last > LINE_SECONDS:
            self._last = now
            counts = f"{tally.done}/{tally.total} problems"
            self.say(f"{tally.label}: {counts}, {_status(tally, ended=ended)}")


def spoken(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.0f} min" if minutes < 100 else f"{hours:.1f} h"


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", style="bold"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        console=console,
    )


def _status(tally: Tally, *, ended: bool) -> str:
    """The changing part of a line."""
    seconds = tally.seconds
    parts = []
    if tally.spent.completion_tokens:
        parts.append(f"{tally.spent.completion_tokens / seconds:,.0f} tokens/s")
    if tally.accuracy is not None:
        parts.append(f"accuracy {100 * tally.accuracy:.1f}%")
    if tally.failed:
        parts.append(f"{tally.failed:,} failed")
    if tally.spent.usd:
        parts.append(f"${tally.spent.usd:,.2f}")
    if tally.budget_left is not None:
        parts.append(f"budget left {100 * tally.budget_left:.0f}%")
    if ended:
        parts.append(f"{seconds:.1f} s")
    elif tally.seconds_left is not None:
        parts.append(f"{spoken(tally.seconds_left)} to go")
    return ", ".join(parts)
