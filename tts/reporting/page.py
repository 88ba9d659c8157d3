"""The page: one HTML file that needs no network, no fonts and, for all but comforts, no script.

What models wrote is text: the template escapes all it is given, characters that act unseen are made
visible, and the browser is told to run no script but the page's own, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from tts.evaluation import report as tables
from tts.evaluation import verifier_plot
from tts.evaluation.tree_page import colour
from tts.evaluation.verifier_tables import notes as verifier_notes
from tts.evaluation.verifier_tables import sheets as verifier_sheets
from tts.reporting.contents import Contents, Section
from tts.reporting.explorer import Attempt
from tts.reporting.facts import claim_cells, facts, status
from tts.reporting.looks import COLOURS, DARK_COLOURS
from tts.reporting.pictures import against, by_level, plain, tip
from tts.reporting.svg import inline, theme
from tts.reporting.visible import cut, shown, visible

if TYPE_CHECKING:
    import jinja2
    from matplotlib.figure import Figure

_NOTE = 500  # characters of a note
SIMULATED = "Simulated: these figures say nothing of a real model."


@dataclass(frozen=True)
class _Chart:
    """A picture on the page, and the name by which it is chosen."""

    name: str
    picture: Markup


def page(contents: Contents, title: str = "") -> str:
    """The page of a report.

    Args:
        contents: What it says.
        title: Above it; by default what the boards are about.

    Returns:
        The text of an HTML file.
    """
    environment = _environment()
    script = environment.get_template("page.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    boards = [section.board for section in contents.sections]
    return environment.get_template("page.html").render(
        title=title or (boards[0].title if len(boards) == 1 else f"{len(contents.runs)} runs"),
        simulated=any(board.simulated for board in boards),
        warning=SIMULATED,
        contents=contents,
        script=Markup(script),
        digest=Markup(digest),
        colours=list(zip(COLOURS, DARK_COLOURS, strict=True)),
        view=_View,
        cut=cut,
    )


class _View:
    """What the template asks for; all of it pure."""

    facts = staticmethod(facts)
    status = staticmethod(status)
    claim = staticmethod(claim_cells)
    colour = staticmethod(colour)
    theme = staticmethod(theme)

    @staticmethod
    def words(command: Sequence[object]) -> str:
        """A command line."""
        return shlex.join(map(str, command))

    @staticmethod
    def broken(label: str) -> Markup:
        """A label that may be broken after an underscore."""
        return Markup(str(escape(visible(label))).replace("_", "_<wbr>"))

    @staticmethod
    def dashes(line: str) -> str:
        """The style of a line by its name in Matplotlib."""
        return {"-": "", "--": ";stroke-dasharray:10 6", ":": ";stroke-dasharray:3 5"}[line]

    @staticmethod
    def charts(section: Section, number: int) -> list[_Chart]:
        """Accuracy against each component of compute."""
        rows = section.board.rows
        found = []
        for cost in section.costs if section.board.graded else ():
            tips = {n: tip(row, cost) for n, row in enumerate(rows) if row.accuracy is not None}
            about = f"Accuracy against {cost.name} per problem, with 95% intervals"
            chart = against(rows, cost, section.looks, legend=False, note=_warning(section))
            found.append(_Chart(cost.name, inline(chart, f"s{number}{cost.field}", about, tips)))
        return found

    @staticmethod
    def difficulty(section: Section, number: int) -> Markup:
        """Accuracy by bin of the arms that stand out."""
        assert section.breakdown
        return inline(
            difficulty_chart(section, legend=False), f"s{number}levels", "Accuracy by difficulty"
        )

    @staticmethod
    def verifier(section: Section, number: int) -> Markup:
        """ROC, reliability and scores."""
        return inline(verifier_chart(section), f"s{number}verifiers", "ROC, reliability and scores")

    @staticmethod
    def verifier_tables(
        section: Section,
    ) -> Iterator[tuple[str, Sequence[str], Sequence[Sequence[str]]]]:
        """Title, heads and lines."""
        reports = {arm.label: each for arm, each in section.verifiers}
        for sheet in verifier_sheets(reports):
            lines = [[cell.replace("\\[", "[") for cell in line] for line in sheet.lines]
            yield sheet.title, [head.replace("\n", " ") for head in sheet.columns], lines

    @staticmethod
    def verifier_notes(section: Section) -> list[str]:
        """What must be said beside it."""
        return verifier_notes({arm.label: each for arm, each in section.verifiers})

    @staticmethod
    def notes(section: Section) -> list[str]:
        """What must be said beside the table."""
        return [cut(note, _NOTE) for note in tables.notes(section.board.rows)]

    @staticmethod
    def command(attempt: Attempt) -> str:
        """What shows all of an attempt."""
        record = attempt.record
        words = ["tts", "show", str(attempt.arm.run.source.folder), "--problem", record.problem_id]
        words += ["--arm", record.arm]
        if record.repeat:
            words += ["--repeat", str(record.repeat)]
        return shlex.join(words)


def difficulty_chart(section: Section, *, legend: bool) -> Figure:
    """The figure of the breakdown that a section has."""
    assert section.breakdown
    lines = [
        (
            arm.label,
            section.looks[arm.row.series],
            [
                (c.interval.mean, c.interval.low, c.interval.high) if c.interval else None
                for c in cells
            ],
        )
        for arm, cells in section.breakdown.drawn
    ]
    return by_level(section.breakdown.bins, lines, legend=legend, note=_warning(section))


def verifier_chart(section: Section) -> Figure:
    """The figure of the verifiers' reports that a section has."""
    return verifier_plot.picture({plain(arm.label): each for arm, each in section.verifiers})


def _warning(section: Section) -> str:
    return "Simulated" if section.board.simulated else ""


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    loader = jinja2.ChoiceLoader(
        [jinja2.PackageLoader("tts.reporting", ""), jinja2.PackageLoader("tts.evaluation", "")]
    )
    return jinja2.Environment(
        loader=loader, autoescape=True, finalize=shown, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
