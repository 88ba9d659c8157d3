"""What the doctor finds: one line each, with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        section: Under which heading it stands.
        name: What was looked at.
        state: `ok`; `warning` if something works less well; `missing` if something does not work.
        said: What was found.
        todo: The way out; empty if there is nothing to do.
        vital: Whether the default `tts run` needs it.
    """

    section: str
    name: str
    state: State
    said: str
    todo: str = ""
    vital: bool = False


def show(findings: Sequence[Finding], console: Console) -> None:
    """Print findings: a table on a terminal, plain lines elsewhere.

    Args:
        findings: Those of a section stand together.
        console: Where to.
    """
    for section, lines in groupby(findings, key=lambda f: f.section):
        if console.is_terminal:
            console.print(_table(section, list(lines)))
            continue
        console.out(f"\n{section}")
        for line in lines:
            console.out(f"  {line.state:8} {line.name}: {line.said}")
            if line.todo:
                console.out(f"{'':11}-> {line.todo}")


def _table(section: str, lines: Sequence[Finding]) -> Table:
    table = Table(title=section, title_style="bold", title_justify="left", box=None)
    table.show_header, table.pad_edge = False, False
    table.add_column(width=8)
    table.add_column(min_width=20, max_width=28)
    table.add_column(overflow="fold")
    for line in lines:
        said = escape(line.said) + (f"\n[dim]{escape(line.todo)}[/dim]" if line.todo else "")
        style = "green" if line.state == "ok" else "red" if line.vital else "yellow"
        table.add_row(f"[{style}]{line.state}[/{style}]", escape(line.name), said)
    return table
