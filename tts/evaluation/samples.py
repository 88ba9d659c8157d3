"""Samples that are there already: those of a run, or texts that were made elsewhere.

Knows how they are filed, not what is made of them. A file of texts is JSONL with one problem a
line: `id`, `prompt`, `answer` (the right one), `samples` (texts), and `scores` if there are any.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tts.errors import ConfigError
from tts.evaluation.records import Record
from tts.evaluation.store import RESULTS, Trees, modernise, read
from tts.tasks import JsonLines
from tts.types import Problem, Scale, Score, Segment, Trajectory

FIELDS = ("id", "prompt", "answer", "samples", "scores")
"""What a line of a file of texts holds; `scores` may be missing."""


@dataclass(frozen=True, slots=True)
class Samples:
    """All samples of one problem.

    Attributes:
        problem: What was asked.
        gold: The right answer.
        trajectories: At least one, each with its score if it has one.
    """

    problem: Problem
    gold: str
    trajectories: tuple[Trajectory, ...]


def read_texts(path: Path, names: Mapping[str, str] | None = None) -> list[Samples]:
    """The samples of a file of texts.

    Scores are taken for probabilities if all of them lie between 0 and 1, and for rewards on a
    scale of their own otherwise.

    Args:
        path: JSONL; blank lines are skipped.
        names: What the fields are called in this file, where it is not as in `FIELDS`.

    Raises:
        ConfigError: The file or a line of it cannot be used.
    """
    called = {field: field for field in FIELDS} | dict(names or {})
    if not path.exists():
        raise ConfigError(f"There is no file or folder {path}.")
    lines = [_Line(row.where, row.fields, called) for row in JsonLines().rows(str(path))]
    if not lines:
        raise ConfigError(f"{path} holds no problems.")
    scale = _scale([line.scores() for line in lines])
    found: dict[str, Samples] = {}
    for line in lines:
        samples = line.samples(scale)
        if samples.problem.id in found:
            raise ConfigError(
                f"{line.where}: the id {samples.problem.id!r} occurs twice.",
                hint="Give each problem an id of its own, and all its samples in one line.",
            )
        found[samples.problem.id] = samples
    return list(found.values())


def read_run(folder: Path, problems: Mapping[str, Problem]) -> dict[str, list[Samples]]:
    """The samples of a run by the label of the arm; all repeats of a problem together.

    Args:
        folder: Of the run; it must have kept texts.
        problems: By id.

    Raises:
        ConfigError: There are no results or no texts, or a problem is not among `problems`.
    """
    if not (folder / RESULTS).exists():
        raise ConfigError(f"{folder} holds no {RESULTS}.", hint="Name the folder of a run.")
    modernise(folder)
    trees = Trees(folder)
    pools: dict[tuple[str, str], list[Trajectory]] = {}
    golds: dict[str, str] = {}
    for record in _last(read(folder / RESULTS)):
        if record.gold is None:
            raise ConfigError(
                f"{folder}: no right answer of problem {record.problem_id!r} is known.",
                hint="Give the lines of the input an answer, and run them into another folder.",
            )
        if record.problem_id not in problems:
            raise ConfigError(
                f"The task has no problem {record.problem_id!r}, which {folder} holds samples of.",
                hint="Choose the task, and the part of it, that was run.",
            )
        if record.candidates and record.file_key in trees:
            pool = pools.setdefault((record.arm, record.problem_id), [])
            pool.extend(trees[record.file_key].trajectories())
            golds[record.problem_id] = record.gold
    if not pools:
        raise ConfigError(f"{folder} holds no samples.", hint="Run it with keep=texts.")
    arms: dict[str, list[Samples]] = {}
    for (arm, name), pool in pools.items():
        arms.setdefault(arm, []).append(Samples(problems[name], golds[name], tuple(pool)))
    return arms


def _last(records: Iterator[Record]) -> list[Record]:
    """The last record under each key; those that failed are left out."""
    found = {record.file_key: record for record in records}
    return [record for record in found.values() if not record.failed]


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a file of texts.

    Attributes:
        where: Its file and number.
        row: Its content.
        names: What the fields are called in it.
    """

    where: str
    row: Mapping[str, Any]
    names: Mapping[str, str]

    def samples(self, scale: Scale) -> Samples:
        """What it says, checked."""
        texts = self._texts()
        scores = self.scores()
        if scores and len(scores) != len(texts):
            raise ConfigError(
                f"{self.where} has {len(texts)} samples and {len(scores)} scores.",
                hint="Give one score a sample, in the same order, or none at all.",
            )
        nodes = [
            Trajectory.root().extend(Segment(t), child=i, clock=0) for i, t in enumerate(texts)
        ]
        if scores:
            nodes = [n.scored(Score(s, scale)) for n, s in zip(nodes, scores, strict=True)]
        problem = Problem(self._text("id"), prompt=self._text("prompt"))
        return Samples(problem, self._text("answer"), tuple(nodes))

    def scores(self) -> list[float]:
        """The scores; empty if there are none."""
        found = self.row.get(self.names["scores"])
        if found is None:
            return []
        if not isinstance(found, list) or not all(_is_number(score) for score in found):
            raise ConfigError(f"{self.where}: '{self.names['scores']}' must be a list of numbers.")
        return [float(score) for score in found]

    def _texts(self) -> list[str]:
        found = self._value("samples")
        if not isinstance(found, list) or not found or not all(isinstance(t, str) for t in found):
            raise ConfigError(
                f"{self.where}: '{self.names['samples']}' must be a list of texts, at least one."
            )
        return found

    def _text(self, field: str) -> str:
        value = self._value(field)
        if isinstance(value, int | float) and not isinstance(value, bool):
            whole = isinstance(value, float) and value.is_integer()
            return str(int(value) if whole else value)
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(
                f"{self.where}: '{self.names[field]}' must be a text or a number, and not empty."
            )
        return value

    def _value(self, field: str) -> Any:
        name = self.names[field]
        if name in self.row:
            return self.row[name]
        close = get_close_matches(name, self.row, n=1)
        there = close[0] if close else "NAME"
        hint = f"Name the field that holds it: --field {field}={there}."
        if field == "id" and not close:
            hint = (
                "Results are filed and compared by id: add one to each line, or name the field"
                " that holds it with --field id=NAME."
            )
        raise ConfigError(
            f"{self.where} has no field '{name}'; there are: {', '.join(self.row) or 'none'}.",
            hint=hint,
        )


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and not math.isnan(float(value))  # type: ignore[arg-type]


def _scale(scores: Sequence[Sequence[float]]) -> Scale:
    every = [score for line in scores for score in line]
    return "probability" if all(0 <= score <= 1 for score in every) else "reward"
