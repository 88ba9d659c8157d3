"""The estimates of all arms of a command: worked out, as a table, and as JSON."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tts.backends.rehearsal import Rehearsal
from tts.cli.jobs import Job, short
from tts.cli.workshop import Work, Workshop
from tts.evaluation.earlier import Run, lengths, runs, speed
from tts.evaluation.estimate import MOST_REHEARSED, Assumptions, Estimate, estimate, total
from tts.evaluation.provenance import machine
from tts.types import Usage

_UNKNOWN, _NOTHING = "?", "0"


@dataclass(frozen=True)
class Costs:
    """What all arms of a command would cost.

    Attributes:
        title: Model, task and number of problems.
        arms: One an arm.
        sources: Where each one's lengths and speed come from, in a sentence each.
        whole: All arms together.
    """

    title: str
    arms: tuple[Estimate, ...]
    sources: tuple[tuple[str, ...], ...]
    whole: Estimate

    def show(self) -> None:
        """Print the table and what must be said beside it."""
        console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
        console.print(self._table())
        for note in self.notes():
            console.print(note, markup=False, soft_wrap=True)

    def document(self) -> dict[str, Any]:
        """The estimate, of JSON types."""
        arms = [
            {**_values(arm), "basis": list(said)}
            for arm, said in zip(self.arms, self.sources, strict=True)
        ]
        return {"arms": arms, "total": _values(self.whole)}

    def notes(self) -> list[str]:
        """What the numbers rest on; nothing twice."""
        said = dict.fromkeys(note for notes in self.sources for note in notes)
        for arm in self.arms:
            said.update(dict.fromkeys(arm.notes))
        return list(said)

    def _table(self) -> Table:
        table = Table(title=self.title, title_style="bold", title_justify="left")
        table.box, table.show_edge, table.pad_edge = SIMPLE_HEAD, False, False
        table.add_column("arm", overflow="fold")
        lines = {arm.label: _cells(arm) for arm in self.arms}
        # What is nothing everywhere (dollars for a model of one's own) only takes room.
        shown = [i for i in range(len(_HEADS)) if {x[i] for x in lines.values()} != {_NOTHING}]
        for place in shown:
            table.add_column(_HEADS[place], justify="right")
        for label, cells in lines.items():
            table.add_row(label, *(cells[place] for place in shown))
        if len(lines) > 1:
            whole = _cells(self.whole)
            table.add_section()
            table.add_row("total", *(whole[place] for place in shown))
        return table


_HEADS = (
    "prompt\ntokens", "completion\ntokens", "at most", "sequential\na problem", "verifier\ntokens",
    "time", "at most", "at least\na problem", "dollars", "at most",
)  # fmt: skip


def work_out(jobs: Sequence[Job], options: Namespace, *, open_ended: bool = False) -> Costs:
    """Rehearse every arm.

    Args:
        jobs: What the command asks for.
        options: Of the command line: agreement, tokens_per_second and earlier.
        open_ended: See `Arm.open_ended`.

    Raises:
        ConfigError: Something that the run would refuse.
    """
    workshop, found = Workshop(), runs(options.earlier)
    works = [workshop.work(job, arm, open_ended=open_ended) for job in jobs for arm in job.arms]
    arms, sources = [], []
    for work in works:
        given, said = _assumptions(work, found, options)
        one = asyncio.run(estimate(work.arm, work.task, Rehearsal, given))
        arms.append(replace(one, label=_label(work)))
        sources.append(tuple([*said, *_sampled(one)]))
    return Costs(_title(works), tuple(arms), tuple(sources), total(arms))


def _assumptions(
    work: Work, found: Sequence[Run], options: Namespace
) -> tuple[Assumptions, list[str]]:
    """What is assumed for an arm, and where it comes from."""
    names, cap = work.arm.names, work.task.max_tokens
    half = max(1, cap // 2)
    given, said = Assumptions(half, options.agreement), []
    if measured := lengths(found, names, cap):
        given = replace(
            given,
            lengths=measured.by_problem,
            cached=measured.cached,
            verifier_tokens=measured.verifier_tokens,
        )
        said.append(f"Lengths of answers: as measured in {_nice(measured.folder)}.")
    else:
        said.append(
            f"Lengths of answers: assumed to be {half:,} tokens, half of task.max_tokens; no"
            f" earlier run of {names.model} on {names.task} is in {_nice(options.earlier)}."
        )
    if options.tokens_per_second:
        given = replace(given, tokens_per_second=options.tokens_per_second)
        said.append(f"Speed: {options.tokens_per_second:,.0f} tokens a second, as you say.")
    elif timed := speed(found, names, machine()):
        given = replace(given, tokens_per_second=timed.total, stream_tokens_per_second=timed.single)
        said.append(f"Speed: as measured in {_nice(timed.folder)}.")
    else:
        said.append(
            "Speed: unknown. Run a few problems first (task.n_problems=20; --limit 20 of a batch),"
            " or give --tokens-per-second."
        )
    if (work.job.config.get("replay") or {}).get("path"):
        said.append("Replay: what is in the cache is counted here, and not paid again.")
    return given, said


def _sampled(one: Estimate) -> Iterator[str]:
    if one.n_rehearsed == MOST_REHEARSED < one.n_problems:
        yield f"Rehearsed on {one.n_rehearsed:,} of the problems, and scaled to all of them."


def _cells(one: Estimate) -> tuple[str, ...]:
    likely, most = one.expected, one.upper
    sequential = likely.sequential_tokens / one.n_problems
    return (
        f"{likely.prompt_tokens:,}",
        f"{likely.completion_tokens:,}",
        f"{most.completion_tokens:,}",
        f"{sequential:,.0f}",
        f"{likely.verifier_tokens:,}",
        _time(one.seconds),
        _time(one.seconds_upper),
        _time(one.latency),
        _dollars(likely),
        _dollars(most),
    )


def _time(seconds: float | None) -> str:
    if seconds is None:
        return _UNKNOWN
    if seconds < 120:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _dollars(usage: Usage) -> str:
    if not usage.usd:
        return _NOTHING
    return f"{usage.usd:,.2f}" if usage.usd >= 0.01 else f"{usage.usd:.1g}"


def _values(one: Estimate) -> Mapping[str, Any]:
    return {
        "label": one.label,
        "n_problems": one.n_problems,
        "n_rehearsed": one.n_rehearsed,
        "expected": one.expected.as_dict(),
        "upper": one.upper.as_dict(),
        "seconds": one.seconds,
        "seconds_upper": one.seconds_upper,
        "latency": one.latency,
        "notes": list(one.notes),
    }


def _label(work: Work) -> str:
    """The arm's label, and what a sweep varies."""
    varied = [o for o in work.job.swept if o != f"strategy={work.arm.label}"]
    return " ".join([work.arm.label, *map(short, varied)])


def _title(works: Sequence[Work]) -> str:
    models = ", ".join(dict.fromkeys(work.arm.names.model for work in works))
    tasks = ", ".join(dict.fromkeys(work.task.name for work in works))
    return f"What {models} on {tasks} would cost, {len(works[0].task):,} problems"


def _nice(folder: object) -> str:
    short = os.path.relpath(str(folder))
    return str(folder) if short.startswith("..") else short
