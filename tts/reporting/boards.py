"""Runs put side by side: a board is what was tried on the same problems of one task.

Runs of a task share a board if they share a problem and agree on what is asked in each and what is
right. All figures are worked out anew from the outcomes, so that a page of several runs, of half a
run or of an old one has them from one place. The first arm is what all are compared with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tts.evaluation.records import Outcome
from tts.evaluation.report import title
from tts.evaluation.store import RESULTS, SUMMARY
from tts.evaluation.summary import Row, adjusted
from tts.reporting.reading import ArmRead, Fault, Run


@dataclass(frozen=True)
class Arm:
    """An arm on a board.

    Attributes:
        number: Its place on the board.
        label: Unique on the board.
        row: Its figures.
        run: That it belongs to.
        read: What the run has left of it.
    """

    number: int
    label: str
    row: Row
    run: Run
    read: ArmRead

    @property
    def outcomes(self) -> list[Outcome]:
        """Of each problem and repeat."""
        return list(self.read.outcomes.values())

    @property
    def faults(self) -> list[Fault]:
        """Those that failed."""
        return list(self.read.faults.values())


@dataclass(frozen=True)
class Board:
    """Arms on the same problems.

    Attributes:
        arms: At least one, the first of which is the reference.
        runs: They belong to.
    """

    arms: tuple[Arm, ...]
    runs: tuple[Run, ...]

    @property
    def rows(self) -> list[Row]:
        """The figures of all arms."""
        return [arm.row for arm in self.arms]

    @property
    def graded(self) -> bool:
        """Whether any arm has an accuracy."""
        return any(row.accuracy is not None for row in self.rows)

    @property
    def simulated(self) -> bool:
        """Whether figures come from a simulation."""
        return any(row.simulated for row in self.rows)

    @property
    def title(self) -> str:
        """Models, task, and how many problems."""
        return title(sorted(self.rows, key=lambda row: -row.n_problems))

    @cached_property
    def problems(self) -> list[str]:
        """Ids of all problems, in the order in which the first run ended them."""
        return list(dict.fromkeys(name for run in self.runs for name in run.golds))

    @property
    def golds(self) -> dict[str, str | None]:
        """By problem the right answer, if it is known."""
        return {name: gold for run in reversed(self.runs) for name, gold in run.golds.items()}


@dataclass
class _Group:
    """Runs that share a board, while it is made."""

    task: str
    runs: list[Run] = field(default_factory=list)
    golds: dict[str, str | None] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)

    def fits(self, run: Run) -> bool:
        """Whether a run is about the same problems."""
        shared = self.golds.keys() & run.golds.keys()
        both = self.asked.keys() & run.asked.keys()
        return (
            self.task == _task(run)
            and bool(shared)
            and all(self.golds[name] == run.golds[name] for name in shared)
            and all(self.asked[name] == run.asked[name] for name in both)
        )

    def add(self, run: Run) -> None:
        """Take a run in."""
        self.runs.append(run)
        self.golds |= run.golds
        self.asked |= run.asked


def boards(runs: Sequence[Run]) -> list[Board]:
    """Put runs side by side.

    Args:
        runs: Of which each holds an arm.
    """
    groups: list[_Group] = []
    for run in runs:
        group = next((g for g in groups if g.fits(run)), None)
        if group is None:
            groups.append(group := _Group(_task(run)))
        group.add(run)
    return [_board(group.runs) for group in groups]


def _board(runs: Sequence[Run]) -> Board:
    members = [(run, arm) for run in runs for arm in run.arms]
    labels, series = _labels(members), _series(members)
    reference = list(members[0][1].outcomes.values())
    rows: list[Row] = []
    for (_, read), label, curve in zip(members, labels, series, strict=True):
        outcomes = list(read.outcomes.values())
        names = read.names.model_copy(update={"series": curve})
        row = Row.of(label, names, read.configuration, outcomes)
        rows.append(row.against(outcomes, reference) if rows else row)
    arms = [
        Arm(number, row.strategy, row, run, read)
        for number, (row, (run, read)) in enumerate(zip(adjusted(rows), members, strict=True))
    ]
    return Board(tuple(arms), tuple(runs))


def _labels(members: Sequence[tuple[Run, ArmRead]]) -> list[str]:
    """Labels that are unique: those that several runs use get the name of the run."""
    counts = Counter(arm.label for _, arm in members)
    named = [
        arm.label if counts[arm.label] == 1 else f"{arm.label} ({run.source.name})"
        for run, arm in members
    ]
    again = Counter(named)
    return [
        name if again[name] == 1 else f"{name} [{arm.configuration[:6]}]"
        for name, (_, arm) in zip(named, members, strict=True)
    ]


def _series(members: Sequence[tuple[Run, ArmRead]]) -> list[str]:
    """For each arm the curve that it is on: of one model, within a run or the jobs of a sweep."""
    names = [arm.names.series or arm.label for _, arm in members]
    owners = [(_whole(run), arm.names.model) for run, arm in members]
    sharing: dict[str, set[tuple[Path, str]]] = {}
    for name, owner in zip(names, owners, strict=True):
        sharing.setdefault(name, set()).add(owner)
    found = []
    for name, (_, model), (run, _) in zip(names, owners, members, strict=True):
        models = [other for _, other in sharing[name]]
        suffix = model if len(set(models)) == len(models) else run.source.name
        found.append(f"{name} ({suffix})" if len(models) > 1 else name)
    return found


def _whole(run: Run) -> Path:
    """The folder of a run; of a job of a sweep that of the sweep."""
    parent = run.source.folder.parent
    job = (parent / SUMMARY).is_file() and not (parent / RESULTS).exists()
    return parent if job else run.source.folder


def _task(run: Run) -> str:
    return run.arms[0].names.task
