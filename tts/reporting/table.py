"""The table of the arms of a board: the same cells for the page and for LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tts.evaluation.summary import Row
from tts.reporting.costs import figure, spent

_NONE = "–"


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure.

    Attributes:
        text: As it is read.
        order: As it is sorted; None last.
        aside: Its interval, or whatever belongs to it; may be empty.
    """

    text: str
    order: float | None
    aside: str = ""


@dataclass(frozen=True)
class Table:
    """Heads and cells; what stands to the left of the cells is the label of the arm.

    Attributes:
        heads: Of the columns, the label's excluded.
        abouts: What each means.
        rows: The arms.
        cells: A line an arm.
    """

    heads: tuple[str, ...]
    abouts: tuple[str, ...]
    rows: tuple[Row, ...]
    cells: tuple[tuple[Cell, ...], ...]


def table(rows: Sequence[Row]) -> Table:
    """The table of some arms, the first of which is the reference."""
    columns: list[tuple[str, str, list[Cell]]] = []
    if any(row.accuracy is not None for row in rows):
        columns.append(
            ("accuracy %", "with its 95% interval over problems", [*map(_accuracy, rows)])
        )
    if any(row.difference is not None for row in rows):
        about = f"against {rows[0].strategy}, problem by problem, in points with 95% interval"
        columns.append(("difference", about, [*map(_difference, rows)]))
        about = "of that difference, exact paired test, corrected for all rows (Holm)"
        columns.append(("p", about, [_p(row) for row in rows]))
    solved = [_count(row.n_solved) for row in rows]
    columns.append(("n", "problems times repeats", solved))
    for head, field, about in (
        ("failed", "n_failed", "ended by a fault; in no accuracy"),
        ("no answer", "n_unanswered", "no answer was found in the text; counts as wrong"),
        ("out of budget", "n_exhausted", "ended by the budget"),
    ):
        if any(getattr(row, field) for row in rows):
            columns.append((head, about, [_count(getattr(row, field)) for row in rows]))
    for cost in spent(rows):
        cells = [Cell(figure(cost.of(row)), cost.of(row)) for row in rows]
        columns.append((cost.short, f"{cost.name}, mean per problem", cells))
    heads, abouts, cells_by_column = zip(*columns, strict=True)
    return Table(heads, abouts, tuple(rows), tuple(zip(*cells_by_column, strict=True)))


def _accuracy(row: Row) -> Cell:
    if row.accuracy is None or row.accuracy_low is None or row.accuracy_high is None:
        return Cell(_NONE, None)
    ends = f"[{100 * row.accuracy_low:.1f}, {100 * row.accuracy_high:.1f}]"
    return Cell(f"{100 * row.accuracy:.1f}", row.accuracy, ends)


def _difference(row: Row) -> Cell:
    if row.difference is None or row.difference_low is None or row.difference_high is None:
        return Cell(_NONE, None)
    ends = f"[{100 * row.difference_low:+.1f}, {100 * row.difference_high:+.1f}]"
    return Cell(f"{100 * row.difference:+.1f}", row.difference, ends)


def _p(row: Row) -> Cell:
    value = row.p_value if row.p_adjusted is None else row.p_adjusted
    if value is None:
        return Cell(_NONE, None)
    return Cell(f"{value:.3f}" if value >= 0.001 else "< 0.001", value)


def _count(number: int) -> Cell:
    return Cell(f"{number:,}", number)
