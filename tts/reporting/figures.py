"""Figures and tables for a paper: files of a folder, each figure as PNG and as SVG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tts.evaluation.store import write_atomically
from tts.reporting.contents import Contents, Section
from tts.reporting.latex import latex
from tts.reporting.page import SIMULATED, difficulty_chart, verifier_chart
from tts.reporting.pictures import against
from tts.reporting.svg import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_figures(contents: Contents, folder: Path) -> list[Path]:
    """Write all figures and tables of a report.

    Args:
        contents: What it says.
        folder: Where to; made if it is not there. Files of the same names are replaced.

    Returns:
        What was written.

    Raises:
        OSError: The folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, section in enumerate(contents.sections):
        prefix = f"board{number + 1}_" if len(contents.sections) > 1 else ""
        for name, chart in _charts(section):
            for kind in ("png", "svg"):
                path = folder / f"{prefix}{name}.{kind}"
                _save(chart, path, kind)
                written.append(path)
        path = folder / f"{prefix}arms.tex"
        write_atomically(path, latex(section.table, _caption(section)))
        written.append(path)
    return written


def _charts(section: Section) -> Iterator[tuple[str, Figure]]:
    note = "Simulated" if section.board.simulated else ""
    for cost in section.costs if section.board.graded else ():
        chart = against(section.board.rows, cost, section.looks, legend=True, note=note)
        yield f"accuracy_vs_{cost.field}", chart
    if section.breakdown:
        yield "accuracy_by_difficulty", difficulty_chart(section, legend=True)
    if section.verifiers:
        yield "verifiers", verifier_chart(section)


def _save(chart: Figure, path: Path, kind: str) -> None:
    """Whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    save(chart, temporary, kind, path.stem)
    temporary.replace(path)


def _caption(section: Section) -> str:
    said = f"{section.board.title}. Costs are means per problem."
    if any(row.difference is not None for row in section.board.rows):
        said += f" Differences in points against {section.board.arms[0].label}, p after Holm."
    return f"{SIMULATED} {said}" if section.board.simulated else said
