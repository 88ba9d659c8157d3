"""Tunings as tables in the terminal, as JSON, and as configurations of `tts run`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tts.cli._sampling_order import Tuning
from tts.cli._tuned import FIELD
from tts.evaluation.provenance import command_line
from tts.evaluation.statistics import Interval
from tts.evaluation.summary import Row
from tts.tuning.sampling.finding import Finding, Tried
from tts.tuning.sampling.space import Candidate

_NOTE = (
    "Figures of the pilot choose and are no result: the best of many was lucky as well. What counts"
    " is the comparison on the held-out problems."
)


def show_plan(tunings: Sequence[Tuning]) -> None:
    """Print what would be tried."""
    console = _console()
    for tuning in tunings:
        console.print(f"{tuning.title} ({tuning.name})", style="bold", markup=False)
        for candidate in tuning.space.candidates:
            mark = "" if candidate.source == "grid" else f"  ({candidate.source})"
            console.print(f"  {candidate.label}{mark}", markup=False)
        _show_skipped(console, tuning.space.skipped)
        rungs = [f"{arms} on {problems}" for arms, problems in tuning.halving().plan]
        console.print(f"Settings on pilot problems, by rung: {', '.join(rungs)}.")
        part = next(iter(tuning.held_out.values())).task
        console.print(f"Then the winner and the default on {len(part):,} held-out problems.\n")


def show(findings: Sequence[Finding], out: Path) -> None:
    """Print what was found.

    Args:
        findings: At least one.
        out: Folder with the configurations.
    """
    console = _console()
    for found in findings:
        console.print(found.title, style="bold", markup=False)
        console.print(_table(found))
        _show_skipped(console, found.skipped)
        for note in found.notes:
            console.print(note, markup=False, soft_wrap=True)
        console.print(found.sentence(), style="bold", markup=False, soft_wrap=True)
        words = shlex.join(["--config-dir", str(out), f"+tuned={found.name}"])
        console.print(f"tts run {words} ...\n", markup=False, soft_wrap=True)
    console.print(_NOTE, soft_wrap=True)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def _show_skipped(console: Console, skipped: Mapping[str, str]) -> None:
    for label, why in skipped.items():
        console.print(f"Not tried: {label}: {why}.", markup=False, soft_wrap=True)


def _table(found: Finding) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("setting", no_wrap=True)
    for column in ("rungs", "problems", "pilot accuracy", "tokens\na problem", "held-out accuracy"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    default = found.tried[0].candidate
    for each in sorted(found.tried, key=lambda t: (-t.rungs, -t.accuracy.mean)):
        row = {default: found.default, found.winner: found.tuned or found.default}.get(
            each.candidate
        )
        table.add_row(
            escape(each.candidate.label),
            str(each.rungs),
            f"{each.problems:,}",
            _percent(each.accuracy),
            f"{each.tokens:,.0f}",
            _row(row) if row else "",
            ", ".join(_marks(found, each)),
            style="bold" if each.candidate == found.taken else None,
        )
    return table


def _marks(found: Finding, each: Tried) -> list[str]:
    candidate = each.candidate
    marks = {
        "best on the pilot": candidate == found.winner,
        candidate.source: candidate.source != "grid",
        "taken": candidate == found.taken,
    }
    return [mark for mark, holds in marks.items() if holds]


def _percent(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.mean:.1f}% [{low:.1f}, {high:.1f}]"


def _row(row: Row) -> str:
    if row.accuracy is None or row.accuracy_low is None or row.accuracy_high is None:
        return "none graded"
    return _percent(Interval(row.accuracy, row.accuracy_low, row.accuracy_high))


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """What was found, of JSON types."""
    return {"tunings": [_document(found) for found in findings]}


def _document(found: Finding) -> dict[str, Any]:
    return {
        "name": found.name,
        "title": found.title,
        "about": dict(found.about),
        "verdict": found.verdict,
        "taken": _candidate(found.taken),
        "winner": _candidate(found.winner),
        "default": _candidate(found.tried[0].candidate),
        "sentence": found.sentence(),
        "held_out": {
            "default": found.default.model_dump(mode="json"),
            "winner": found.tuned and found.tuned.model_dump(mode="json"),
        },
        "pilot": [
            {
                **_candidate(each.candidate),
                "rungs": each.rungs,
                "problems": each.problems,
                "accuracy": each.accuracy.mean,
                "accuracy_low": each.accuracy.low,
                "accuracy_high": each.accuracy.high,
                "tokens_per_problem": each.tokens,
            }
            for each in found.tried
        ],
        "rungs": [
            {**asdict(rung), "means": dict(rung.means), "kept": list(rung.kept)}
            for rung in found.rungs
        ],
        "skipped": dict(found.skipped),
        "notes": [*found.notes, _NOTE],
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {"label": candidate.label, "source": candidate.source, **candidate.point.words()}


def saved(tuning: Tuning, found: Finding) -> str:
    """A configuration that sets what was found, with what it holds for.

    Args:
        tuning: What was asked.
        found: What came of it.
    """
    point = found.taken.point
    node: dict[str, Any] = {
        FIELD: dict(found.about),
        "model": {"sampling": asdict(point.sampling)},
    }
    if fields := tuning.prompts[point.prompt]:
        node["task"] = {"prompt": dict(fields)}
    words = shlex.join(tuning.words)
    return (
        "# @package _global_\n"
        f"# {found.title}.\n# {found.sentence()}\n"
        f"# Found by: {shlex.join(command_line())}\n"
        f"# Use: tts run --config-dir DIR +tuned={found.name} {words}\n"
        f"{OmegaConf.to_yaml(node)}"
    )
