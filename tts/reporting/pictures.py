"""Pictures of a board, as figures of Matplotlib: accuracy against each component of compute.

The same figure goes to the page, as inline SVG, and to files for a paper. On the page the names of
the series stand beside it, and each point tells what it is; in a file they stand in a legend.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tts.evaluation.pareto import front
from tts.evaluation.summary import Row
from tts.reporting.costs import Cost, figure
from tts.reporting.looks import FAINT, INK, SOFT, Look
from tts.reporting.visible import cut, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

TIP = "tip"
"""Groups of an SVG whose id begins with it carry a text; what follows is its number."""
_SIZE = (7.2, 4.0)  # inches
_NAME = 60  # characters of a label in a legend, about
_SPREAD = 8.0  # points between the symbols of series that cost the same
_WIDE = 4.0  # times the least cost, from which on the scale is logarithmic


def against(
    rows: Sequence[Row], cost: Cost, looks: Mapping[str, Look], *, legend: bool, note: str = ""
) -> Figure:
    """Accuracy with its 95% interval against what it cost, and the Pareto front.

    Args:
        rows: Those without an accuracy are left out.
        cost: Component that is the abscissa.
        looks: By series.
        legend: Whether the series are named in the figure.
        note: Written above, such as that figures are simulated.
    """
    from matplotlib.figure import Figure

    drawn = [(number, row) for number, row in enumerate(rows) if row.accuracy is not None]
    width = _SIZE[0] + (2.6 if legend else 0.0)
    chart = Figure((width, _SIZE[1]), layout="constrained", dpi=150)
    axes = chart.subplots()
    costs = [cost.of(row) for _, row in drawn]
    _scale(axes, costs)
    _front(axes, drawn, cost)
    series = _series(drawn)
    asides = _asides(series, cost)
    for name, members in series.items():
        _points(axes, name, members, cost, looks[name], asides[name])
    ends = [100 * end for _, row in drawn for end in _interval(row)[1:]]
    axes.set_ylim(*_room(ends))
    _dress(axes, f"{cost.name} per problem", "accuracy (%)", note)
    if legend:
        _legend(chart)
    return chart


def by_level(
    bins: Sequence[str],
    lines: Sequence[tuple[str, Look, Sequence[tuple[float, float, float] | None]]],
    *,
    legend: bool,
    note: str = "",
) -> Figure:
    """Accuracy in each bin of difficulty, arms side by side in each.

    Args:
        bins: Names, from left to right.
        lines: Of each arm its label, look, and by bin the accuracy with its interval, 0 to 1.
        legend: Whether the arms are named in the figure.
        note: Written above.
    """
    from matplotlib.figure import Figure

    chart = Figure((_SIZE[0] + (2.6 if legend else 0.0), 3.4), layout="constrained", dpi=150)
    axes = chart.subplots()
    step = 0.7 / max(1, len(lines))
    for place, (label, look, values) in enumerate(lines):
        known = [(x, v) for x, v in enumerate(values) if v is not None]
        offset = (place - (len(lines) - 1) / 2) * step
        x, drawn = [x + offset for x, _ in known], [value for _, value in known]
        _bars(axes, x, drawn, look, axes.transData)
        axes.plot(x, [100 * y for y, _, _ in drawn], **_symbol(look), linestyle="none", zorder=5)
        _key(axes, label, look)
    axes.set_xticks(range(len(bins)), bins)
    axes.set_xlim(-0.5, len(bins) - 0.5)
    axes.set_ylim(-3, 103)
    _dress(axes, "difficulty", "accuracy (%)", note)
    if legend:
        _legend(chart)
    return chart


def plain(text: str) -> str:
    """A text in which Matplotlib finds no formula, and which fits a legend."""
    return cut(visible(" ".join(text.split())), _NAME).replace("$", "\\$")


def tip(row: Row, cost: Cost) -> str:
    """What a point says of itself."""
    mean, low, high = (100 * value for value in _interval(row))
    spent = f"{figure(cost.of(row))} {cost.name} per problem"
    return f"{row.strategy}: {mean:.1f}% ({low:.1f} to {high:.1f}), {spent}"


def _series(drawn: Sequence[tuple[int, Row]]) -> Mapping[str, list[tuple[int, Row]]]:
    found: defaultdict[str, list[tuple[int, Row]]] = defaultdict(list)
    for number, row in drawn:
        found[row.series].append((number, row))
    return found


def _asides(series: Mapping[str, Sequence[tuple[int, Row]]], cost: Cost) -> dict[str, float]:
    """Points by which each series moves aside: none, but for those that cost just the same.

    Their symbols would hide each other; no number moves.
    """
    alike: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, members in series.items():
        alike[tuple(sorted(f"{cost.of(row):.3g}" for _, row in members))].append(name)
    return {
        name: (place - (len(names) - 1) / 2) * _SPREAD
        for names in alike.values()
        for place, name in enumerate(names)
    }


def _points(
    axes: Axes,
    name: str,
    members: Sequence[tuple[int, Row]],
    cost: Cost,
    look: Look,
    aside: float,
) -> None:
    from matplotlib.transforms import ScaledTranslation

    members = sorted(members, key=lambda member: cost.of(member[1]))
    x = [cost.of(row) for _, row in members]
    values = [_interval(row) for _, row in members]
    line = look.line if len(members) > 1 else "none"
    y = [100 * mean for mean, _, _ in values]
    assert axes.figure is not None
    moved = axes.transData + ScaledTranslation(aside / 72, 0, axes.figure.dpi_scale_trans)
    axes.plot(x, y, color=look.colour, linewidth=1.4, linestyle=line, zorder=3, transform=moved)
    _bars(axes, x, values, look, moved)
    for (number, _), *place in zip(members, x, y, strict=True):
        (symbol,) = axes.plot(*place, **_symbol(look), zorder=5, transform=moved)
        symbol.set_gid(f"{TIP}{number}")
    _key(axes, name, look, line)


def _interval(row: Row) -> tuple[float, float, float]:
    """Accuracy and its ends, of a row that has one."""
    assert row.accuracy is not None
    assert row.accuracy_low is not None and row.accuracy_high is not None
    return row.accuracy, row.accuracy_low, row.accuracy_high


def _bars(
    axes: Axes,
    x: Sequence[float],
    values: Sequence[tuple[float, float, float]],
    look: Look,
    transform: Transform,
) -> None:
    """Intervals around means."""
    y = [100 * mean for mean, _, _ in values]
    low = [100 * max(0.0, mean - low) for mean, low, _ in values]
    high = [100 * max(0.0, high - mean) for mean, _, high in values]
    axes.errorbar(
        x, y, yerr=[low, high], color=look.colour, linestyle="none", elinewidth=0.9, alpha=0.4,
        zorder=3, transform=transform,
    )  # fmt: skip


def _key(axes: Axes, name: str, look: Look, line: str = "none") -> None:
    """An entry of the legend."""
    axes.plot([], [], **_symbol(look), linestyle=line, label=plain(name))


def _symbol(look: Look) -> dict[str, Any]:
    return {
        **{"color": look.colour, "marker": look.marker, "markersize": 6.5},
        **{"markeredgecolor": "#ffffff", "markeredgewidth": 0.6},
    }


def _front(axes: Axes, drawn: Sequence[tuple[int, Row]], cost: Cost) -> None:
    """The best accuracy that each cost has bought, as steps."""
    points = [(cost.of(row), row.accuracy or 0.0) for _, row in drawn]
    if len(points) < 2:
        return
    best = [points[place] for place in front(points)]
    x = [*(c for c, _ in best), max(c for c, _ in points)]
    y = [*(100 * a for _, a in best), 100 * best[-1][1]]
    axes.step(
        x, y, where="post", color=FAINT, linewidth=5, zorder=2, solid_joinstyle="round",
        label="Pareto front",
    )  # fmt: skip


def _scale(axes: Axes, costs: Sequence[float]) -> None:
    """Logarithmic where costs are far apart; arms that cost nothing then stand at the left end."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    some = [cost for cost in costs if cost > 0]
    if not some or max(some) <= _WIDE * min(some):
        low, high = min(costs, default=0.0), max(costs, default=0.0)
        margin = 0.12 * (high - low) or 0.25 * high or 1.0
        axes.set_xlim(low - margin, high + margin)
    else:
        least, most = min(some), max(some)
        free = len(some) < len(costs)
        if free:
            axes.set_xscale("symlog", base=2, linthresh=least, linscale=0.7)
        else:
            axes.set_xscale("log", base=2)
        axes.set_xlim(-0.25 * least if free else least / 1.35, most * 1.35)
        axes.xaxis.set_major_locator(FixedLocator([0.0] * free + _ticks(least, most)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))


def _room(ends: Sequence[float]) -> tuple[float, float]:
    """Limits in per cent that hold all intervals, with a margin."""
    low, high = min(ends, default=0.0), max(ends, default=100.0)
    margin = 0.06 * (high - low) + 1.0
    return low - margin, high + margin


def _ticks(least: float, most: float) -> list[float]:
    """At most eight round numbers, equally far apart on a logarithmic scale."""
    for steps in ((1, 2, 5), (1, 3), (1,)):
        decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
        found = [step * 10.0**decade for decade in decades for step in steps]
        inside = [tick for tick in found if least / 1.3 <= tick <= most * 1.3]
        if len(inside) <= 8:
            break
    return inside


def _tick(value: float) -> str:
    for factor, unit in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.3g}"


def _dress(axes: Axes, below: str, beside: str, note: str) -> None:
    axes.set_xlabel(below, color=SOFT, fontsize=9)
    axes.set_ylabel(beside, color=SOFT, fontsize=9)
    axes.grid(axis="y", color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, labelsize=9, length=3, color=FAINT)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    if note:
        axes.set_title(note, fontsize=9, color=INK, loc="left")


def _legend(chart: Figure) -> None:
    chart.legend(loc="outside right upper", frameon=False, fontsize=8)
