"""Accuracy by difficulty: by the levels of a task, or by how many attempts solved a problem.

Where the task gives no levels, a problem is as hard as the attempts of all arms say. That is read
off the same outcomes as the accuracies: it tells where arms differ, not how hard a task is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from tts.evaluation.pareto import front
from tts.evaluation.statistics import Interval, accuracy
from tts.evaluation.summary import by_problem
from tts.reporting.boards import Arm, Board

_SHARES = (
    (0.0, "none right"),
    (0.25, "up to 25%"),
    (0.5, "25 to 50%"),
    (0.75, "50 to 75%"),
    (1.0 - 1e-12, "over 75%"),
    (1.0, "all right"),
)
_ENOUGH = 4  # attempts a problem, over all arms, from which on their share says something
_DRAWN = 6  # most arms in the picture


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm in one bin."""

    interval: Interval | None
    n: int


@dataclass(frozen=True)
class Breakdown:
    """Accuracy by difficulty.

    Attributes:
        given: Whether the task gives the levels.
        bins: Names, the easiest level first; shares from hard to easy.
        sizes: Problems in each.
        lines: Of each arm with an accuracy its cells, one a bin.
    """

    given: bool
    bins: tuple[str, ...]
    sizes: tuple[int, ...]
    lines: tuple[tuple[Arm, tuple[Cell, ...]], ...]

    @property
    def drawn(self) -> list[tuple[Arm, tuple[Cell, ...]]]:
        """What a picture has room for: the reference, and arms that none beats at their price."""
        price = [
            (a.row.per_problem("completion_tokens"), a.row.accuracy or 0.0) for a, _ in self.lines
        ]
        best = sorted(front(price), key=lambda place: -price[place][1])
        chosen = sorted({0, *best[: _DRAWN - 1]})
        return [self.lines[place] for place in chosen]


def breakdown(board: Board, levels: Mapping[str, str]) -> Breakdown | None:
    """Work it out.

    Args:
        board: What was tried.
        levels: By problem, where the task gives any.

    Returns:
        None if nothing is graded, there is one bin only, or too few attempts tell bins apart.
    """
    outcomes = {arm.number: by_problem(arm.outcomes) for arm in board.arms}
    marks = [marks for marks in outcomes.values() if marks]
    given = {levels[name] for each in marks for name in each if name in levels}
    bins = dict(levels) if len(given) > 1 else _by_share(marks)
    names = _ordered({bins[name] for each in marks for name in each if name in bins})
    if len(names) < 2:
        return None
    lines = []
    for arm in board.arms:
        if found := outcomes[arm.number]:
            lines.append((arm, tuple(_cell(found, bins, name) for name in names)))
    everything = {name for each in marks for name in each}
    sizes = tuple(sum(bins.get(name) == each for name in everything) for each in names)
    return Breakdown(len(given) > 1, tuple(names), sizes, tuple(lines))


def _cell(found: Mapping[str, Sequence[bool]], bins: Mapping[str, str], name: str) -> Cell:
    mine = {problem: marks for problem, marks in found.items() if bins.get(problem) == name}
    return Cell(accuracy(mine), len(mine))


def _by_share(marks: Sequence[Mapping[str, Sequence[bool]]]) -> dict[str, str]:
    """By problem a bin of the share of attempts that solved it."""
    attempts: dict[str, list[bool]] = {}
    for each in marks:
        for problem, found in each.items():
            attempts.setdefault(problem, []).extend(found)
    if max(map(len, attempts.values()), default=0) < _ENOUGH:
        return {}
    shares = {problem: sum(found) / len(found) for problem, found in attempts.items()}
    return {
        problem: next(name for most, name in _SHARES if share <= most)
        for problem, share in shares.items()
    }


def _ordered(names: set[str]) -> list[str]:
    shares = [name for _, name in _SHARES if name in names]
    if len(shares) == len(names):
        return shares
    return sorted(names, key=_natural)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """So that level 10 comes after level 9."""
    parts = ("".join(group) for _, group in groupby(name, str.isdecimal))
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
