"""From paths to what a report says: runs are read, put on boards, and looked at from all sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tts.errors import ConfigError
from tts.evaluation.claims import Claim
from tts.evaluation.verifier_report import Report
from tts.reporting.boards import Arm, Board, boards
from tts.reporting.choosing import Choice, choose, shares
from tts.reporting.costs import Cost, varying
from tts.reporting.explorer import Shown, explore
from tts.reporting.failures import Failure, failures
from tts.reporting.levels import Breakdown, breakdown
from tts.reporting.looks import Look, looks
from tts.reporting.reading import Run, read_run
from tts.reporting.sources import sources
from tts.reporting.table import Table, table
from tts.reporting.verifiers import verifier_reports

ROOM = 6_000_000
"""Characters that problems may take on a page, about."""


@dataclass(frozen=True)
class Lore:
    """What a task tells of its problems, by id.

    Attributes:
        questions: What was asked.
        levels: How hard the task says they are, where it does.
        missing: Why nothing is known, if so.
    """

    questions: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""


Ask = Callable[[Path, Mapping[str, str | None], frozenset[str]], Lore]
"""Asks the task of a run: its folder, the right answer of each problem in question by id, and those
of them whose questions are wanted."""


@dataclass(frozen=True)
class Section:
    """What is said of a board.

    Attributes:
        board: The arms.
        costs: Components of compute that tell them apart.
        looks: Of their series.
        table: Of their figures.
        claims: Of all their runs.
        breakdown: By difficulty, if there are bins.
        verifiers: Reports of those whose scores were kept.
        failures: By kind.
        choice: Problems that are shown one by one, and of how many.
        shown: Those problems.
        missing: Why questions are not known, if so.
    """

    board: Board
    costs: Sequence[Cost]
    looks: Mapping[str, Look]
    table: Table
    claims: Sequence[Claim]
    breakdown: Breakdown | None
    verifiers: Sequence[tuple[Arm, Report]]
    failures: Sequence[Failure]
    choice: Choice
    shown: Sequence[Shown]
    missing: str


@dataclass(frozen=True)
class Contents:
    """What a report says.

    Attributes:
        sections: One a board, at least one.
        skipped: What was named and is not in it, and why.
    """

    sections: Sequence[Section]
    skipped: Sequence[str]

    @property
    def runs(self) -> list[Run]:
        """Of all boards."""
        return [run for section in self.sections for run in section.board.runs]


def gather(paths: Sequence[Path], ask: Ask, problems: int = 100, room: int = ROOM) -> Contents:
    """Read runs and work out what there is to say.

    Args:
        paths: Folders of runs or of sweeps, files of results, or folders that hold such.
        ask: Tells questions and levels.
        problems: Most problems that are shown one by one, at least 0.
        room: Characters for their traces and trees.

    Raises:
        ConfigError: There is no run with a record, or a line of one cannot be read.
    """
    named, skipped = sources(paths)
    runs = []
    for source in named:
        run = read_run(source)
        if run.arms:
            runs.append(run)
        else:
            skipped.append(f"{source.folder}: no problem has ended yet.")
    if not runs:
        raise ConfigError("No problem of these runs has ended yet.", hint="Wait for the first one.")
    found = boards(runs)
    numbers = shares([len(board.problems) for board in found], problems)
    rooms = [room * number // max(1, sum(numbers)) for number in numbers]
    sections = [_section(*each, ask) for each in zip(found, numbers, rooms, strict=True)]
    return Contents(sections, skipped)


def _section(board: Board, problems: int, room: int, ask: Ask) -> Section:
    choice = choose(board, problems)
    lore = _lore(board, ask, frozenset(choice.problems))
    return Section(
        board=board,
        costs=varying(board.rows),
        looks=looks(row.series for row in board.rows),
        table=table(board.rows),
        claims=[claim for run in board.runs for claim in _claims(run)],
        breakdown=breakdown(board, lore.levels),
        verifiers=verifier_reports(board, lore.levels),
        failures=failures(board),
        choice=choice,
        shown=explore(board, choice.problems, lore.questions, lore.levels, room),
        missing=lore.missing,
    )


def _lore(board: Board, ask: Ask, wanted: frozenset[str]) -> Lore:
    """What the tasks of all runs tell; a problem is asked for once."""
    questions: dict[str, str] = {}
    levels: dict[str, str] = {}
    missing = ""
    known: set[str] = set()
    for run in board.runs:
        new = {name: gold for name, gold in run.golds.items() if name not in known}
        if not new:
            continue
        told = ask(run.source.folder, new, wanted & new.keys())
        questions |= told.questions
        levels |= told.levels
        missing = missing or told.missing
        known |= new.keys() if not told.missing else set()
    return Lore(questions, levels, missing)


def _claims(run: Run) -> list[Claim]:
    found = []
    for entry in run.claims:
        try:
            found.append(TypeAdapter(Claim).validate_python(entry))
        except ValidationError:  # of another version
            continue
    return found
