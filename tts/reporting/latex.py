"""The table of the arms as LaTeX, with rules of the package `booktabs`. Knows no file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tts.reporting.table import Cell, Table

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "{-}",  # two would be a dash
    **{sign: f"{{{sign}}}" for sign in "[]*"},  # after a line break they would be its arguments
    "–": "--",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_SPECIAL = re.compile("|".join(map(re.escape, _ESCAPES)))
_FOREIGN = re.compile("[^\x20-\x7e\u00c0-\u00ff\u2013]")
_SIGNED = re.compile(r"(?<![\w.])([+-])(?=\d)")


def latex(table: Table, caption: str) -> str:
    r"""A table to be included in a paper.

    Args:
        table: The arms.
        caption: Below it, as plain text.

    Returns:
        Text of a file; it needs `\usepackage{booktabs}` and `\usepackage[T1]{fontenc}`.
    """
    columns = len(table.heads)
    lines = [
        r"% Needs \usepackage{booktabs} and \usepackage[T1]{fontenc}.",
        r"\begin{table}",
        r"\centering\small",
        rf"\begin{{tabular}}{{@{{}}l{'r' * columns}@{{}}}}",
        r"\toprule",
        _line(["arm", *table.heads]),
        r"\midrule",
        *(
            f"{escaped(row.strategy)} & {' & '.join(map(_cell, cells))} \\\\"
            for row, cells in zip(table.rows, table.cells, strict=True)
        ),
        r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{escaped(caption)}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """A text in which TeX finds no command: one line, printed as it stands.

    Of characters that common fonts lack the number stands there, as U+4E2D.
    """
    line = _FOREIGN.sub(lambda match: f"U+{ord(match[0]):04X}", " ".join(text.split()))
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], line)


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def _cell(cell: Cell) -> str:
    """A figure: its signs are those of mathematics."""
    text = f"{cell.text} {cell.aside}".strip()
    parts = _SIGNED.split(text)
    return "".join(f"${part}$" if place % 2 else escaped(part) for place, part in enumerate(parts))
