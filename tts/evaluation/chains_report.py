"""What the chains of a run come to: a table, and plain values for a file. Knows groups only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tts.evaluation.chains import SHARES, Figure, Group
from tts.evaluation.report import Sheet

_NONE = "–"
_ROWS = {
    "tokens": "tokens",
    "steps": "steps",
    "reflections": "reflections",
    "first_seen": "answer written at %",
    "first_concluded": "answer concluded at %",
    "redundant": "redundant %",
    "agreement": "repeated conclusions %",
    "failed": "failed steps %",
}


def sheets(groups: Sequence[Group]) -> list[Sheet]:
    """A table an arm, with a column for each kind of chain; at least one."""
    arms = dict.fromkeys(group.arm for group in groups)
    return [_sheet(arm, [group for group in groups if group.arm == arm]) for arm in arms]


def notes(groups: Sequence[Group]) -> list[str]:
    """What must be said beside the numbers."""
    said = []
    if all("tokens" not in group.figures for group in groups):
        said.append("Nothing in this run tells how many tokens a chain has.")
    elif not all(group.counted for group in groups):
        said.append("Tokens are estimated from characters; keep=tokens would have counted them.")
    answered = [group for group in groups if group.kind != "no answer"]
    silent = sum(group.chains - group.concluding for group in answered)
    if silent:
        whole = sum(group.chains for group in answered)
        said.append(
            f"{silent:,} of {whole:,} chains with an answer never conclude it in a step; they are"
            " in no figure of where it is there, and of what is redundant."
        )
    if not any(group.figures["reflections"].mean for group in groups):
        said.append(
            "No step begins with a word of reflection, so that hardly any can be told to have"
            " failed; --thinking reflections=... names other words."
        )
    return said


def markdown(groups: Sequence[Group]) -> str:
    """The text of `analysis.md`."""
    said = "".join(f"\n{note}\n" for note in notes(groups))
    tables = "\n".join(sheet.markdown() for sheet in sheets(groups))
    return f"{tables}\n![Lengths, and where the answer is](analysis.png)\n{said}"


def entries(groups: Sequence[Group]) -> dict[str, Any]:
    """Plain values, by arm and kind."""
    found: dict[str, Any] = {}
    for group in groups:
        figures = {name: asdict(figure) for name, figure in group.figures.items()}
        found.setdefault(group.arm, {})[group.kind] = {
            "chains": group.chains,
            "problems": group.problems,
            "concluding": group.concluding,
            "counted": group.counted,
            **figures,
        }
    return found


def _sheet(arm: str, groups: Sequence[Group]) -> Sheet:
    heads = ("mean a problem [95%]", *(group.kind for group in groups))
    lines = (
        ("chains", *(f"{group.chains:,}" for group in groups)),
        ("problems", *(f"{group.problems:,}" for group in groups)),
        *(
            (row, *(cell(group.figures.get(name), share=name in SHARES) for group in groups))
            for name, row in _ROWS.items()
        ),
    )
    return Sheet(arm, heads, lines)


def cell(figure: Figure | None, *, share: bool) -> str:
    """A mean with its interval, as a percentage if it is a share."""
    if figure is None:
        return _NONE
    scale, places = (100, 0) if share else (1, 0 if figure.mean >= 100 else 1)
    mean = f"{scale * figure.mean:,.{places}f}"
    if figure.low is None or figure.high is None:
        return mean
    low, high = (f"{scale * end:,.{places}f}" for end in (figure.low, figure.high))
    return f"{mean} \\[{low}, {high}]"
