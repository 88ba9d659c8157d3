"""Faults, gathered by what they say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tts.reporting.boards import Arm, Board

_NUMBER = re.compile(r"\d+")
_NAMED = 12  # ids that are named of each kind


@dataclass(frozen=True, slots=True)
class Failure:
    """Faults of one kind.

    Attributes:
        error: What the first of them says.
        arms: Labels, with the number of faults in each.
        ids: Of problems, the first few.
        count: Of all.
    """

    error: str
    arms: tuple[tuple[str, int], ...]
    ids: tuple[str, ...]
    count: int

    @property
    def unnamed(self) -> int:
        """Faults whose problems are not named."""
        return self.count - len(self.ids)


def failures(board: Board) -> list[Failure]:
    """The kinds of faults, the commonest first; those that differ in numbers alone are one kind."""
    kinds: dict[str, list[tuple[Arm, str]]] = {}
    errors: dict[str, str] = {}
    for arm in board.arms:
        for fault in arm.faults:
            kind = _NUMBER.sub("#", fault.error[:500])
            errors.setdefault(kind, fault.error)
            name = f"{fault.problem_id}#{fault.repeat}" if fault.repeat else fault.problem_id
            kinds.setdefault(kind, []).append((arm, name))
    found = [_failure(errors[kind], faults) for kind, faults in kinds.items()]
    return sorted(found, key=lambda failure: -failure.count)


def _failure(error: str, faults: Sequence[tuple[Arm, str]]) -> Failure:
    counts: dict[str, int] = {}
    for arm, _ in faults:
        counts[arm.label] = counts.get(arm.label, 0) + 1
    ids = list(dict.fromkeys(name for _, name in faults))[:_NAMED]
    return Failure(error, tuple(counts.items()), tuple(ids), len(faults))
