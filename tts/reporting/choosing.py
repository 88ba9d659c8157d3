"""Which problems a page shows: faults first, then those on which arms disagree, then by lot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tts.reporting.boards import Board
from tts.seeds import derive


@dataclass(frozen=True, slots=True)
class Choice:
    """Some problems of a board.

    Attributes:
        problems: Ids, in the order of the page.
        total: Problems that there are.
        failed: How many of all have failed in an arm.
        split: How many of the others arms disagree on.
    """

    problems: tuple[str, ...]
    total: int
    failed: int
    split: int


def choose(board: Board, most: int, seed: int = 0) -> Choice:
    """Choose the problems that tell most.

    Arms disagree where one is right and another is wrong; where nobody knows what is right, where
    their answers differ.

    Args:
        board: What was tried.
        most: Problems, at least 0.
        seed: Of the lot.
    """
    failed = {fault.problem_id for arm in board.arms for fault in arm.faults}
    split = _split(board) - failed

    def order(name: str) -> tuple[int, int]:
        rank = 0 if name in failed else 1 if name in split else 2
        return rank, derive(seed, "report", name)

    ranked = sorted(board.problems, key=order)
    return Choice(tuple(ranked[:most]), len(ranked), len(failed), len(split))


def shares(sizes: Sequence[int], most: int) -> list[int]:
    """Divide a number of problems among boards: the same for each, as far as it has so many."""
    found = [0] * len(sizes)
    order = sorted(range(len(sizes)), key=lambda place: sizes[place])
    for rank, place in enumerate(order):
        found[place] = min(sizes[place], -(-(most - sum(found)) // (len(sizes) - rank)))
    return found


def _split(board: Board) -> set[str]:
    """Problems on which arms disagree."""
    marks: dict[str, set[object]] = {}
    for arm in board.arms:
        for (name, repeat), outcome in arm.read.outcomes.items():
            if not outcome.failed:
                answer = arm.read.answers[name, repeat]
                marks.setdefault(name, set()).add(
                    outcome.correct if outcome.graded else ("answer", answer)
                )
    return {name for name, found in marks.items() if len(found) > 1}
