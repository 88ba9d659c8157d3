"""A search on the terminal: a moving line while it goes on, a table in the end."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from tts.evaluation.statistics import Interval
from tts.tuning.engine.candidates import OURS
from tts.tuning.engine.knobs import Point, word
from tts.tuning.engine.tried import Tried
from tts.tuning.engine.verdict import Verdict

_MORE = 5  # candidates in the table beside the finalists


class Display:
    """Shows how a search goes; use it as a block."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20))
        self._bar = Progress(
            *columns, TextColumn("{task.fields[left]}"), console=self._console, transient=True
        )
        self._task = self._bar.add_task("looking at the folder", total=None, left="")
        self._took: list[float] = []

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """Show a sentence."""
        self._console.print(text, markup=False, soft_wrap=True)

    def stage(self, what: str, number: int, of: int) -> None:
        """Something begins, one of several."""
        place = f" {number} of {of}" if number else ""
        self._bar.update(
            self._task, description=f"{what}{place}", total=of, completed=max(0, number - 1),
            left=self._left(of - number + 1) if number and what.endswith("candidate") else "",
        )  # fmt: skip

    def tried(self, found: Tried, number: int) -> None:
        """A trial has ended."""
        if found.seconds:
            self._took.append(found.seconds)
        if found.ratios:
            kept = "" if found.status == "measured" else " (given up)"
            result = f"{found.ratio:5.2f}x{kept}, {found.throughput:,.0f} tokens/s"
        else:
            result = f"{found.status}: {found.reason}"
        self.say(f"{found.name:>16}: {result}  {settings_of(found.point)}")

    def _left(self, trials: int) -> str:
        if not self._took:
            return ""
        minutes = trials * sum(self._took) / len(self._took) / 60
        return f"about {minutes:.0f} min for the rest" if minutes >= 1 else "less than a minute"


def settings_of(point: Point) -> str:
    """A point in words."""
    return " ".join(f"{name}={word(value)}" for name, value in point.items())


def show(found: Verdict, about: Mapping[str, str], objective: str) -> None:
    """Print what a search has found."""
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(f"{about['model']}: {about['workload']}", style="bold", markup=False)
    console.print(_table(found, objective))
    for sentence in [*found.sentences(), *_left_out(found)]:
        console.print(sentence, markup=False, soft_wrap=True)


def _table(found: Verdict, objective: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("candidate")
    heads = (
        *("trial:\nratio", "in turns: over\nthe defaults", "tokens\na second"),
        *("seconds\na problem", "other\nanswers"),
    )
    for head in heads:
        table.add_column(head, justify="right")
    table.add_column("settings", overflow="fold")
    standing = {each.name: each.over[OURS] for each in found.standings}
    for each in _rows(found):
        cells = _cells(each, standing.get(each.name))
        best = found.winner is not None and each.name == found.winner.name
        table.add_row(each.name, *cells, settings_of(each.point), style="bold" if best else None)
    return table


def _rows(found: Verdict) -> Iterator[Tried]:
    yield from found.references
    finalists = [each.name for each in found.standings]
    yield from (found.named(name) for name in finalists)
    others = [t for t in found.tried if t.ratios and t.name not in finalists]
    yield from sorted(others, key=lambda one: -one.ratio)[:_MORE]


def _cells(each: Tried, interval: Interval | None) -> list[str]:
    if not each.ratios or each.latencies is None:
        return ["-", "-", "-", "-", "-"]
    median, late = each.latencies
    turns = "" if interval is None else (
        f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
    )  # fmt: skip
    return [
        f"{each.ratio:.2f}{'' if each.status == 'measured' else ' (given up)'}",
        turns,
        f"{each.throughput:,.0f}",
        f"{median:.2f}, 95%: {late:.2f}",
        f"{each.differing} of {each.answers}",
    ]


def _left_out(found: Verdict) -> Iterator[str]:
    """What was not measured, and why."""
    counts = Counter(each.status for each in found.tried)
    yield (
        f"{len(found.tried)} points: {counts['measured']} measured to the end, {counts['stopped']}"
        f" given up early, {counts['infeasible']} not feasible, {counts['failed']} failed."
    )
    reasons = Counter(each.reason for each in found.tried if each.reason)
    for reason, count in reasons.most_common(3):
        yield f"  {count} x {reason}"
    for each in found.references:
        if each.reason:
            yield f"{each.name} could not be measured: {each.reason}"
