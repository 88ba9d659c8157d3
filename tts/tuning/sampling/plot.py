"""Tunings as a picture: accuracy against temperature, one panel a tuning.

A symbol is a setting on the pilot, with its 95% interval; it is the darker the further it came, and
what reached the last rung has a ring. Diamonds are the held-out problems, on which alone settings
are to be compared. Where no temperature is varied another field stands on the axis, or the names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.evaluation.summary import Row
from tts.tuning.sampling.finding import Finding, Tried
from tts.tuning.sampling.space import FIELDS, Candidate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart by all common kinds of colour vision; symbols say it again.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "v", "P", "X")
_DARK = "#222222"
_FAINTEST = 0.35  # opacity of what left after the first of several rungs
_COLUMNS = 3
_RING: Mapping[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markerfacecolor": "none",
    "markeredgecolor": _DARK,
}
_APART = 0.012  # of the axis, between symbols that stand at one value


@dataclass(frozen=True)
class _Axis:
    """What stands on the horizontal axis.

    Attributes:
        name: Of the field; empty for the candidates themselves.
        places: Of each candidate, by label.
    """

    name: str
    places: Mapping[str, float]

    @property
    def width(self) -> float:
        """Between the outermost places."""
        return (max(self.places.values()) - min(self.places.values())) or 1.0


def draw(findings: Sequence[Finding], path: Path) -> None:
    """Draw `picture` to a PNG file.

    Args:
        findings: As there.
        path: Of the file.
    """
    figure = picture(findings)
    # Whole or not at all.
    temporary = path.with_name(path.name + ".part")
    figure.savefig(temporary, format="png")
    temporary.replace(path)


def picture(findings: Sequence[Finding]) -> Figure:
    """Every tuning in a panel of its own; all share the accuracies.

    Args:
        findings: At least one.
    """
    from matplotlib.figure import Figure  # takes a second to import

    columns = 2 if len(findings) == 4 else min(_COLUMNS, len(findings))
    rows = -(-len(findings) // columns)
    figure = Figure((max(6.4, 4.9 * columns), 4.4 * rows + 0.9), layout="constrained", dpi=150)
    panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for axes, found in zip(panels[: len(findings)], findings, strict=True):
        _panel(axes, found)
    for axes in panels[len(findings) :]:
        axes.set_visible(False)
    _legend(figure, panels, findings)
    return figure


def _panel(axes: Axes, found: Finding) -> None:
    axis = _axis([each.candidate for each in found.tried])
    looks = iter(zip(cycle(_COLOURS), cycle(_MARKERS)))
    families: dict[str, list[Tried]] = {}
    for each in found.tried:
        families.setdefault(_family(each.candidate, found, axis), []).append(each)
    for number, (name, members) in enumerate(families.items()):
        colour, marker = next(looks)
        shift = (number - (len(families) - 1) / 2) * _APART * axis.width
        _draw_family(axes, found, axis, (name, members), (colour, marker, shift))
    beside = (len(families) / 2 + 0.5) * _APART * axis.width
    _held_out(axes, found.default, axis.places[found.tried[0].candidate.label] + beside, "white")
    if found.tuned:
        _held_out(axes, found.tuned, axis.places[found.winner.label] + beside, _DARK)
    _dress(axes, found, axis)


def _axis(candidates: Sequence[Candidate]) -> _Axis:
    for name in FIELDS:
        places = {each.label: float(getattr(each.point.sampling, name)) for each in candidates}
        if len(set(places.values())) > 1:
            return _Axis(name, places)
    return _Axis("", {each.label: float(n) for n, each in enumerate(candidates)})


def _family(candidate: Candidate, found: Finding, axis: _Axis) -> str:
    """What a candidate shares with others that differ from it along the axis alone."""
    rows = [each.candidate.point.words() for each in found.tried]
    telling = [n for n in rows[0] if n != axis.name and len({row[n] for row in rows}) > 1]
    words = candidate.point.words()
    return " ".join(f"{n}={words[n]}" for n in telling) if axis.name else ""


def _opacity(rungs: int, found: Finding) -> float:
    """Of what has seen so many rungs: darker, the more of them."""
    last = len(found.rungs)
    return _FAINTEST + (1 - _FAINTEST) * (rungs - 1) / (last - 1) if last > 1 else 1.0


def _draw_family(
    axes: Axes,
    found: Finding,
    axis: _Axis,
    family: tuple[str, Sequence[Tried]],
    look: tuple[str, str, float],
) -> None:
    name, members = family
    colour, marker, shift = look
    members = sorted(members, key=lambda each: axis.places[each.candidate.label])
    places = [axis.places[each.candidate.label] + shift for each in members]
    if axis.name:
        means = [each.accuracy.mean for each in members]
        axes.plot(
            places, means, color=colour, marker=marker, markevery=[], alpha=0.35, linewidth=1,
            label=name or None,
        )  # fmt: skip
    for place, each in zip(places, members, strict=True):
        mean, opacity = each.accuracy.mean, _opacity(each.rungs, found)
        axes.errorbar(
            [place], [mean], yerr=([mean - each.accuracy.low], [each.accuracy.high - mean]),
            fmt=marker, color=colour, alpha=opacity, markersize=6, capsize=2, linewidth=1.2,
        )  # fmt: skip
        if each.rungs == len(found.rungs):
            axes.plot([place], [mean], markersize=13, **_RING)


def _held_out(axes: Axes, row: Row, place: float, face: str) -> None:
    if row.accuracy is None or row.accuracy_low is None or row.accuracy_high is None:
        return
    spread = [row.accuracy - row.accuracy_low], [row.accuracy_high - row.accuracy]
    axes.errorbar(
        [place], [row.accuracy], yerr=spread, fmt="D", color=_DARK, markersize=6, capsize=3,
        markerfacecolor=face, linewidth=1.6, zorder=4,
    )  # fmt: skip


def _dress(axes: Axes, found: Finding, axis: _Axis) -> None:
    from matplotlib.ticker import PercentFormatter

    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_title(found.title, loc="left", fontsize=9)
    place = axes.get_subplotspec()
    axes.set_ylabel("accuracy of the strategy" if place and place.is_first_col() else "")
    if axis.name:
        axes.set_xlabel(axis.name)
    else:
        axes.set_xticks(list(axis.places.values()), list(axis.places), rotation=20, ha="right")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, panels: Sequence[Axes], findings: Sequence[Finding]) -> None:
    """What the symbols mean, below all panels."""
    from matplotlib.lines import Line2D

    found = max(findings, key=lambda each: len(each.rungs))
    families = {
        str(line.get_label()): line
        for axes in panels
        for line in axes.get_lines()
        if not str(line.get_label()).startswith("_")
    }
    handles: list[Any] = [
        Line2D([], [], color=line.get_color(), marker=line.get_marker(), label=name)
        for name, line in families.items()
    ]
    for number, rung in enumerate(found.rungs, 1):
        what = "last rung" if number == len(found.rungs) else f"out after rung {number}"
        look: dict[str, Any] = {"linestyle": "none", "marker": "o", "color": "#444444"}
        name = f"pilot, {what} ({rung.problems} problems)"
        handles.append(Line2D([], [], alpha=_opacity(number, found), label=name, **look))
    handles.append(Line2D([], [], markersize=11, label="reached the last rung", **_RING))
    count = f"{found.default.n_problems:,} held out"
    diamond: dict[str, Any] = {"linestyle": "none", "marker": "D", "color": _DARK}
    handles.append(Line2D([], [], markerfacecolor="white", label=f"default, {count}", **diamond))
    if any(each.tuned for each in findings):
        handles.append(Line2D([], [], label=f"best on the pilot, {count}", **diamond))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False,
        title="95% intervals over problems; the pilot chooses, held-out problems alone compare",
        title_fontsize=8,
    )  # fmt: skip
