"""The components of compute that accuracy is drawn against: names, units, and how they are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tts.evaluation.summary import Row


@dataclass(frozen=True, slots=True)
class Cost:
    """A component.

    Attributes:
        field: Name of it, as in a row of a summary but for `total_tokens`.
        name: In words, with its unit.
        short: The same for the head of a column.
    """

    field: str
    name: str
    short: str

    def of(self, row: Row) -> float:
        """Its mean over the problems of an arm; of seconds the wall clock of the arm by problem."""
        if self.field == "total_tokens":
            fields = ("prompt_tokens", "completion_tokens", "verifier_tokens")
            return sum(row.per_problem(field) for field in fields)
        return row.per_problem(self.field)


COSTS = (
    Cost("completion_tokens", "completion tokens", "tokens"),
    Cost("total_tokens", "total tokens", "total tokens"),
    Cost("sequential_tokens", "sequential tokens", "sequential"),
    Cost("flops", "FLOPs", "FLOPs"),
    Cost("verifier_tokens", "verifier tokens", "verifier tokens"),
    Cost("verifier_calls", "verifier calls", "verifier calls"),
    Cost("calls", "requests", "requests"),
    Cost("usd", "dollars", "dollars"),
    Cost("seconds", "seconds", "seconds"),
    Cost("ideal_seconds", "ideal seconds", "ideal s"),
)


def varying(rows: Sequence[Row]) -> list[Cost]:
    """The components that tell arms apart; at least completion tokens."""
    found = [cost for cost in COSTS if len({f"{cost.of(row):.6g}" for row in rows}) > 1]
    return found or [COSTS[0]]


def spent(rows: Sequence[Row]) -> list[Cost]:
    """The components of which anything was spent."""
    return [cost for cost in COSTS if any(cost.of(row) for row in rows)]


def figure(value: float) -> str:
    """A cost with three digits that count, short enough for a table."""
    if value == 0:
        return "0"
    if value >= 1e7 or value < 1e-3:
        digits, _, power = f"{value:.2e}".partition("e")
        return f"{digits}e{int(power)}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
