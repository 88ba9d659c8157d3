"""Decisions taken again from their log: a controller is pure, so they come out the same.

Knows decisions with their basis, not how they were kept; `tts.evaluation.decisions` reads them from
the records of a run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tts.errors import ConfigError
from tts.protocols import Controller
from tts.types import Basis, Grant, ProblemId, Stop, Usage


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that comes out another way.

    Attributes:
        turn: Of the desk.
        problem_id: On which it was decided.
        logged: The decision as it was; None if there was none at that turn.
        again: The decision now; None if there is none.
    """

    turn: int
    problem_id: ProblemId
    logged: Grant | Stop | None
    again: Grant | Stop | None

    def __str__(self) -> str:
        was, now = _said(self.logged), _said(self.again)
        return f"{self.problem_id}, turn {self.turn}: {was}, and now {now}"


def replay(controller: Controller, decisions: Iterable[Grant | Stop]) -> list[Difference]:
    """Have a controller take decisions again, each on the evidence on which it was taken.

    Args:
        controller: That took them, or another one to compare with.
        decisions: All decisions of one or several desks, in any order; where problems shared a
            desk, those of all its problems.

    Returns:
        Where it decides otherwise, desk by desk and turn by turn; empty if it decides the same.

    Raises:
        ConfigError: A decision has no basis.
    """
    desks: defaultdict[tuple[str, str], list[_Entry]] = defaultdict(list)
    for decision in decisions:
        if decision.basis is None:
            raise ConfigError(
                f"The decision on {decision.problem_id!r} does not say what it rested on.",
                hint="Only runs of this version or a later one can be replayed.",
            )
        own = "" if decision.basis.shared else decision.problem_id
        desks[decision.basis.sitting, own].append(_Entry(decision, decision.basis))
    return [found for desk in desks.values() for found in _differences(controller, desk)]


@dataclass(frozen=True, slots=True)
class _Entry:
    decision: Grant | Stop
    basis: Basis


@dataclass(frozen=True, slots=True)
class _Memory:
    """The pot as it was looked at."""

    basis: Basis

    @property
    def spent(self) -> Usage:
        """What had been paid."""
        if self.basis.spent is None:
            raise _Unseen
        return self.basis.spent

    def remaining(self, limit: str) -> float:
        """What was left of a limit."""
        if limit not in self.basis.left:
            raise _Unseen
        return self.basis.left[limit]


@dataclass(frozen=True, slots=True)
class _SharedMemory(_Memory):
    """The same where problems shared the pot."""

    @property
    def present(self) -> int:
        """Problems that were being solved."""
        return self.basis.present

    @property
    def coming(self) -> int | None:
        """Problems that had not begun."""
        return self.basis.coming


class _Unseen(Exception):
    """The controller asks the pot for what it did not ask then."""


def _differences(controller: Controller, desk: Sequence[_Entry]) -> Iterator[Difference]:
    coming = sorted(desk, key=lambda entry: entry.basis.asked, reverse=True)
    taken: defaultdict[int, list[_Entry]] = defaultdict(list)
    for entry in desk:
        if entry.basis.by == "controller":
            taken[entry.basis.turn].append(entry)
    waiting: dict[ProblemId, _Entry] = {}  # in the order of asking, as at the desk
    for turn in sorted(taken):
        while coming and coming[-1].basis.asked <= turn:
            entry = coming.pop()
            waiting.pop(entry.decision.problem_id, None)
            waiting[entry.decision.problem_id] = entry
        waiting = {p: e for p, e in waiting.items() if e.basis.turn >= turn}
        yield from _compared(controller, turn, waiting, taken[turn])


def _compared(
    controller: Controller,
    turn: int,
    waiting: Mapping[ProblemId, _Entry],
    taken: Sequence[_Entry],
) -> Iterator[Difference]:
    logged = {entry.decision.problem_id: entry.decision for entry in taken}
    again: dict[ProblemId, Grant | Stop] = {}
    try:
        shown = {problem_id: entry.basis.evidence for problem_id, entry in waiting.items()}
        basis = taken[0].basis
        pot = _SharedMemory(basis) if basis.shared else _Memory(basis)
        decided = controller.decide(shown, pot)
        again = {decision.problem_id: decision for decision in decided}
    except _Unseen:
        pass  # another controller: all its decisions differ
    for problem_id in dict.fromkeys([*logged, *again]):
        was, now = logged.get(problem_id), again.get(problem_id)
        entry = waiting.get(problem_id)
        if was == now or (entry and entry.basis.by == "nobody"):
            continue  # who had left could not be told
        yield Difference(turn, problem_id, was, now)


def _said(decision: Grant | Stop | None) -> str:
    if decision is None:
        return "nothing"
    if isinstance(decision, Stop):
        return f"stopped ({decision.reason})"
    return f"granted {decision.samples} ({decision.reason})"
