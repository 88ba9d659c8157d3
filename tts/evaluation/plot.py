"""The picture of a run: accuracy against compute, and against the longest chain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tts.evaluation.report import title
from tts.evaluation.summary import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart by all common kinds of colour vision; markers say it again.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_PANELS = {
    "completion_tokens": "completion tokens per problem",
    "sequential_tokens": "sequential tokens per problem",
}
_SPREAD = 8.0  # points between the symbols of rows that cost the same


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw accuracy with its 95% interval against both measures of compute.

    Args:
        rows: At least one; rows without an accuracy are left out.
        path: Of the PNG file.
    """
    from matplotlib.figure import Figure  # takes a second to import

    shown = [row for row in rows if row.accuracy is not None]
    series = list(dict.fromkeys(row.series or row.strategy for row in shown))
    lines = -(-len(series) // 3)
    figure = Figure(figsize=(10, 4.6 + 0.25 * lines), layout="constrained", dpi=150)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, field in zip(panels, _PANELS, strict=True):
        members = {n: [r for r in shown if (r.series or r.strategy) == n] for n in series}
        offsets = _offsets(members, field)
        for number, name in enumerate(series):
            _draw_series(axes, members[name], field, name, number, offsets[name])
        _dress(axes, shown, field)
    panels[0].set_ylabel("accuracy (%), 95% interval over problems")
    _set_height(panels[0], shown)
    figure.suptitle(title(rows), fontsize=12)
    if series:
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(series)))
    _save(figure, path)


def _offsets(members: Mapping[str, Sequence[Row]], field: str) -> dict[str, float]:
    """Points by which each series moves aside: none, but for those that cost just the same."""
    alike: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, rows in members.items():
        alike[tuple(sorted(f"{row.per_problem(field):.3g}" for row in rows))].append(name)
    return {
        name: (place - (len(names) - 1) / 2) * _SPREAD
        for names in alike.values()
        for place, name in enumerate(names)
    }


def _draw_series(
    axes: Axes, rows: Sequence[Row], field: str, name: str, number: int, offset: float
) -> None:
    from matplotlib.transforms import ScaledTranslation

    rows = sorted(rows, key=lambda row: row.per_problem(field))
    # Arms of equal cost would hide each other: symbols move aside by a few points, no number does.
    aside = ScaledTranslation(offset / 72, 0, axes.figure.dpi_scale_trans)
    middle = [100 * (row.accuracy or 0) for row in rows]
    low = [m - 100 * (row.accuracy_low or 0) for m, row in zip(middle, rows, strict=True)]
    high = [100 * (row.accuracy_high or 0) - m for m, row in zip(middle, rows, strict=True)]
    axes.errorbar(
        [row.per_problem(field) for row in rows],
        middle,
        yerr=[low, high],
        label=name,
        color=_COLOURS[number % len(_COLOURS)],
        marker=_MARKERS[number % len(_MARKERS)],
        markersize=7,
        linewidth=1.5,
        capsize=3,
        transform=axes.transData + aside,
    )


def _dress(axes: Axes, rows: Sequence[Row], field: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    values = [row.per_problem(field) for row in rows]
    axes.set_xlabel(_PANELS[field])
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if not values or min(values) <= 0:
        return
    low, high = min(values), max(values)
    if high > 4 * low:
        axes.set_xscale("log", base=2)
        axes.set_xlim(low / 1.5, high * 1.5)
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        margin = 0.25 * (high - low) or 0.25 * high
        axes.set_xlim(max(0, low - margin), high + margin)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _set_height(axes: Axes, rows: Sequence[Row]) -> None:
    """Limits that hold all intervals; symbols moved aside do not count for the automatic ones."""
    if rows:
        low = min(100 * (row.accuracy_low or 0) for row in rows)
        high = max(100 * (row.accuracy_high or 0) for row in rows)
        margin = 0.08 * (high - low) + 1
        axes.set_ylim(low - margin, high + margin)


def _save(figure: Figure, path: Path) -> None:
    """Write the file whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    figure.savefig(temporary, format="png")
    temporary.replace(path)
