"""What earlier runs tell about a model: how long its answers are, and how fast they come.

Reads the folders of finished runs; never writes. A folder that cannot be read is passed over, since
an estimate does without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts.errors import ConfigError
from tts.evaluation import store as files
from tts.evaluation.records import Record
from tts.evaluation.store import read
from tts.evaluation.summary import Names

_SAME_MACHINE = ("cores", "cpu", "gpus")


@dataclass(frozen=True)
class Lengths:
    """Lengths of answers, as measured.

    Attributes:
        folder: Of the run.
        by_problem: Tokens of an answer, the mean of each record, by problem.
        cached: Part of the prompt tokens that came from the prefix cache, 0 to 1.
        verifier_tokens: What a judgement cost on average; None if there was none.
    """

    folder: Path
    by_problem: Mapping[str, Sequence[int]]
    cached: float
    verifier_tokens: float | None


@dataclass(frozen=True)
class Speed:
    """How fast tokens came.

    Attributes:
        folder: Of the run.
        total: Completion tokens a second of the whole run.
        single: Tokens a second of the fastest chain of any problem; None if that was not measured.
    """

    folder: Path
    total: float
    single: float | None


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, the rows of its summary, and where it comes from."""

    folder: Path
    rows: tuple[Mapping[str, Any], ...]
    provenance: Mapping[str, Any]


def runs(root: Path) -> list[Run]:
    """The finished runs under a folder, the latest first."""
    summaries = [p for p in root.rglob(files.SUMMARY) if (p.parent / files.RESULTS).is_file()]
    summaries.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [run for path in summaries if (run := _run(path.parent))]


def lengths(found: Sequence[Run], names: Names, max_tokens: int) -> Lengths | None:
    """The lengths of answers of a model on a task, of the same strategy if it was ever run.

    Only requests that were one answer each are used, of runs with the same cap on an answer that no
    budget has cut short.

    Args:
        found: Runs to look through.
        names: Of the arm: task, model, backend and strategy.
        max_tokens: Its cap on an answer.
    """
    others: Lengths | None = None
    for run in found:
        if run.provenance.get("config", {}).get("task", {}).get("max_tokens") != max_tokens:
            continue
        rows = [r for r in run.rows if _alike(r, names, "task") and not r.get("n_exhausted")]
        same = [r for r in rows if r.get("strategy_name") == names.strategy_name]
        measured = _measured(run, same or rows)
        if measured and same:
            return measured
        others = others or measured
    return others


def speed(found: Sequence[Run], names: Names, machine: Mapping[str, Any]) -> Speed | None:
    """The speed of a model on this machine, on the same task if it was ever run on it.

    Args:
        found: Runs to look through.
        names: Of the arm: task, model and backend.
        machine: As `tts.evaluation.provenance.machine` describes it.
    """
    here = [run for run in found if _same(run.provenance.get("machine", {}), machine)]
    for keys in (("task", "strategy_name"), ("task",), ()):
        for run in here:
            rows = [r for r in run.rows if _alike(r, names, *keys) and _timed(r)]
            if rows:
                tokens = sum(row["completion_tokens"] for row in rows)
                single = _single(_records(run, rows))
                return Speed(run.folder, tokens / sum(row["seconds"] for row in rows), single)
    return None


def _run(folder: Path) -> Run | None:
    try:
        rows = json.loads((folder / files.SUMMARY).read_text())
        about = json.loads((folder / files.PROVENANCE).read_text())
    except (OSError, ValueError):
        return None
    return Run(folder, tuple(rows), about)


def _alike(row: Mapping[str, Any], names: Names, *more: str) -> bool:
    return all(row.get(key) == getattr(names, key) for key in ("model", "backend", *more))


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in _SAME_MACHINE)


def _timed(row: Mapping[str, Any]) -> bool:
    """Whether a row's seconds are those of its tokens; what was replayed took none."""
    return bool(row.get("seconds") and row["completion_tokens"] and not row.get("replayed_tokens"))


def _records(run: Run, rows: Sequence[Mapping[str, Any]]) -> Iterator[Record]:
    wanted = {row["configuration"] for row in rows}
    try:
        for record in read(run.folder / files.RESULTS):
            if record.configuration in wanted:
                yield record
    except ConfigError:
        return


def _measured(run: Run, rows: Sequence[Mapping[str, Any]]) -> Lengths | None:
    if not rows:
        return None
    by_problem: dict[str, list[int]] = {}
    totals = dict.fromkeys(("prompt_tokens", "cached_tokens", "verifier_tokens"), 0.0)
    judged = 0.0
    for record in _records(run, rows):
        usage, answers = record.usage, len(record.candidates)
        judged += usage["verifier_calls"]
        for key in totals:
            totals[key] += usage[key]
        if answers and usage["calls"] == answers:
            mean = max(1, round(usage["completion_tokens"] / answers))
            by_problem.setdefault(record.problem_id, []).append(mean)
    if not by_problem:
        return None
    prompts, cached, verifying = totals.values()
    return Lengths(
        run.folder,
        by_problem,
        cached / prompts if prompts else 0.0,
        verifying / judged if judged else None,
    )


def _single(records: Iterator[Record]) -> float | None:
    chains = [
        record.usage["sequential_tokens"] / record.usage["seconds"]
        for record in records
        if record.usage["seconds"] and record.usage["sequential_tokens"]
    ]
    return max(chains, default=None)
