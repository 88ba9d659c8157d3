"""Which rows nobody beats at their price."""

from __future__ import annotations

from collections.abc import Sequence


def front(rows: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the rows that no other row dominates.

    A row dominates another if it costs no more and is no less accurate, and is better in one of
    the two. Rows that are equal in both do not dominate each other: all of them stay.

    Args:
        rows: Cost, lower is better, and accuracy, higher is better.

    Returns:
        Indices into `rows`, by rising cost; equal rows in their given order.
    """
    kept: list[int] = []
    for i in sorted(range(len(rows)), key=lambda i: (rows[i][0], -rows[i][1], i)):
        if not kept or rows[i][1] > rows[kept[-1]][1] or rows[i] == rows[kept[-1]]:
            kept.append(i)
    return kept
