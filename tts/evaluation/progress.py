"""How a run goes, on the terminal: a live line, or plain lines where nobody can see it move."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from tts.budget import Budget
from tts.budget.pot import LEASED, cost_of
from tts.evaluation.records import Outcome
from tts.evaluation.runner import Arm
from tts.evaluation.summary import Row
from tts.types import Event, Spent, Usage

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
        self._tally = _Tally("", Budget(), 0)
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
        self._tally = _Tally(arm.label, arm.setup.budget or Budget(), total)
        for outcome in done:
            self._tally.count(outcome, now=False)
        self._last = time.monotonic()
        if self._console.is_terminal:
            self._bars = _bars(self._console)
            name = f"{arm.label:20}"
            self._bar = self._bars.add_task(
                name, total=total, completed=self._tally.done, status=""
            )
            self._bars.start()

    def on_event(self, event: Event) -> None:
        """Something was spent; other events are of no concern here."""
        if isinstance(event, Spent):
            self._tally.spent += event.usage
            self._refresh()

    def keep(self, outcome: Outcome) -> None:
        """A problem was recorded."""
        self._tally.count(outcome)
        self._refresh()

    def end(self, row: Row) -> None:
        """An arm has ended."""
        self._refresh(ended=True)
        self._stop()

    def _stop(self) -> None:
        """Leave the line as it stands: the start of a next engine writes below it."""
        if self._bars:
            self._bars.stop()
        self._bars = None

    def _refresh(self, *, ended: bool = False) -> None:
        now, tally = time.monotonic(), self._tally
        if self._bars:
            if ended or now - self._last > 0.2:
                self._last = now
                status = tally.status(ended=ended)
                self._bars.update(self._bar, completed=tally.done, status=status)
        elif ended or now - self._last > LINE_SECONDS:
            self._last = now
            counts = f"{tally.done}/{tally.total} problems"
            self.say(f"{tally.label}: {counts}, {tally.status(ended=ended)}")


def _clock(seconds: float) -> str:
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


class _Tally:
    """What has come of an arm so far."""

    def __init__(self, label: str, budget: Budget, total: int) -> None:
        self.label, self.total = label, total
        self.done = self.spent_here = 0
        self.spent = Usage()
        self._budget = budget
        self._right = self._graded = self._failed = 0
        self._started = time.monotonic()

    def count(self, outcome: Outcome, *, now: bool = True) -> None:
        """Count a problem, of this sitting (`now`) or of an earlier one."""
        self.done += 1
        self.spent_here += now
        self._failed += outcome.failed
        self._graded += outcome.graded and not outcome.failed
        self._right += outcome.correct

    def status(self, *, ended: bool) -> str:
        """The changing part of a line."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        parts = []
        if self.spent.completion_tokens:
            parts.append(f"{self.spent.completion_tokens / seconds:,.0f} tokens/s")
        if self._graded:
            parts.append(f"accuracy {100 * self._right / self._graded:.1f}%")
        if self._failed:
            parts.append(f"{self._failed:,} failed")
        if self.spent.usd:
            parts.append(f"${self.spent.usd:,.2f}")
        left = self._budget_left()
        if left is not None:
            parts.append(f"budget left {100 * left:.0f}%")
        if ended:
            parts.append(f"{seconds:.1f} s")
        elif self.spent_here:
            left = seconds / self.spent_here * (self.total - self.done)
            parts.append(f"{_clock(left)} to go")
        return ", ".join(parts)

    def _budget_left(self) -> float | None:
        """The part of all problems' budgets that is left, by the limit that is used most."""
        limits = [(name, getattr(self._budget, name)) for name in LEASED]
        used = [cost_of(self.spent, name) / (limit * self.total) for name, limit in limits if limit]
        return max(0.0, 1 - max(used)) if used else None
