"""The picture of a run: accuracy against compute, and against the longest chain.

An arm of independent samples is a curve over the number of samples, with what a perfect selector
would make of the same samples above it; any other arm is a point. If there are curves, a first row
that is none is the level to beat. Knows rows and curves, not where they come from.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.evaluation._labels import Label, place
from tts.evaluation.curves import Curve
from tts.evaluation.report import title
from tts.evaluation.summary import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart by all common kinds of colour vision; markers say it again.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("s", "^", "D", "v", "P", "X", "*", "h")
_DARK = "#333333"
_CEILING: Mapping[str, Any] = {"color": "#777777", "linewidth": 1.2, "linestyle": "--"}
_SMALL: dict[str, Any] = {"fontsize": 8, "color": "#555555"}
_SPREAD = 8.0  # points between the symbols of rows that cost the same


@dataclass(frozen=True)
class _Series:
    """What has one colour, one symbol and one label.

    Attributes:
        name: Its label.
        rows: At least one, by rising cost.
        colour: Of all of it.
        marker: Of its points.
        curve: If it is one row that has one.
        level: Whether it is what the curves are to beat.
    """

    name: str
    rows: tuple[Row, ...]
    colour: str
    marker: str
    curve: Curve | None = None
    level: bool = False

    def tokens(self, k: int) -> float:
        """Completion tokens a problem of k samples, if it is a curve."""
        assert self.curve
        return self.rows[0].per_problem("completion_tokens") * k / self.curve.n


def draw(rows: Sequence[Row], path: Path, curves: Mapping[str, Curve] | None = None) -> None:
    """Draw `picture` to a PNG file.

    Args:
        rows: As there.
        path: Of the file.
        curves: As there.
    """
    figure = picture(rows, curves or {})
    # Whole or not at all.
    temporary = path.with_name(path.name + ".part")
    figure.savefig(temporary, format="png")
    temporary.replace(path)


def picture(rows: Sequence[Row], curves: Mapping[str, Curve]) -> Figure:
    """Accuracy with its 95% interval against both measures of compute.

    Args:
        rows: At least one; rows without an accuracy are left out.
        curves: By configuration of the row, for those that have one.
    """
    from matplotlib.figure import Figure  # takes a second to import

    series = _series(rows, curves)
    figure = Figure((11, max(5.4, 1.5 + 0.3 * len(series))), layout="constrained", dpi=150)
    main, chain = figure.subplots(1, 2, sharey=True, width_ratios=(1.9, 1))
    for each in series:
        if each.level:
            _draw_level((main, chain), each)
        if each.curve:
            _draw_curve(main, each, each.curve)
    _draw_points(main, [s for s in series if not s.curve], "completion_tokens")
    _draw_points(chain, series, "sequential_tokens")
    ceilings = _ceilings(series)
    for each in ceilings:
        _draw_ceiling(main, each)
    _count(main, [s for s in series if s.curve])
    _dress(main, chain, series)
    figure.suptitle(title(rows), fontsize=12)
    figure.supxlabel(_footnote(series), **_SMALL)
    figure.draw_without_rendering()  # settles the sizes, on which the labels depend
    place(main, [_label(s, main) for s in series] + [_ceiling(s, ceilings) for s in ceilings])
    return figure


def _series(rows: Sequence[Row], curves: Mapping[str, Curve]) -> list[_Series]:
    members: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.accuracy is not None:
            members[row.series or row.strategy].append(row)
    looks = iter(zip(cycle(_COLOURS), cycle(_MARKERS)))
    found = []
    for name, own in members.items():
        own.sort(key=lambda row: row.per_problem("completion_tokens"))
        # Several rows are a curve already, one that was measured.
        curve = curves.get(own[0].configuration) if len(own) == 1 else None
        level = bool(curves) and own == [rows[0]] and curve is None
        colour, marker = (_DARK, "o") if level else next(looks)
        found.append(_Series(name, tuple(own), colour, marker, curve, level))
    return found


def _draw_level(panels: Iterable[Axes], series: _Series) -> None:
    row = series.rows[0]
    for axes in panels:
        axes.axhline(_percent(row.accuracy), color=series.colour, linewidth=1, linestyle=":")
        ends = _percent(row.accuracy_low), _percent(row.accuracy_high)
        axes.axhspan(*ends, color=series.colour, alpha=0.07, linewidth=0)


def _draw_curve(axes: Axes, series: _Series, curve: Curve) -> None:
    x = [series.tokens(k) for k in curve.selected]
    intervals = curve.selected.values()
    low, high = [_percent(i.low) for i in intervals], [_percent(i.high) for i in intervals]
    axes.fill_between(x, low, high, color=series.colour, alpha=0.12, linewidth=0)
    middle = [_percent(i.mean) for i in intervals]
    axes.plot(x, middle, color=series.colour, linewidth=2, marker=series.marker, markersize=5)


def _draw_ceiling(axes: Axes, series: _Series) -> None:
    assert series.curve
    covered = series.curve.covered
    x = [series.tokens(k) for k in covered]
    axes.plot(x, [_percent(i.mean) for i in covered.values()], **_CEILING)


def _ceilings(series: Sequence[_Series]) -> list[_Series]:
    """Those of the curves whose coverage is to be drawn: arms that share their draws share it."""
    kept: list[_Series] = []
    for each in sorted(series, key=lambda s: -s.curve.n if s.curve else 0):
        if each.curve and not any(_alike(each, other) for other in kept):
            kept.append(each)
    return kept


def _alike(one: _Series, other: _Series) -> bool:
    """Whether nobody could tell two ceilings apart."""
    assert one.curve and other.curve
    mine, its = one.curve.covered, other.curve.covered
    far = max(abs(mine[k].mean - its[k].mean) for k in mine.keys() & its.keys())
    return far < 0.01 and abs(one.tokens(1) / other.tokens(1) - 1) < 0.05


def _count(axes: Axes, series: Sequence[_Series]) -> None:
    """Write numbers of samples along the top, if the curves agree on what one costs."""
    prices = [each.tokens(1) for each in series]
    if not series or max(prices) > 1.02 * min(prices):
        return
    longest = max(series, key=lambda s: s.curve.n if s.curve else 0)
    assert longest.curve
    for k in longest.curve.selected:
        where = axes.get_xaxis_transform()
        axes.text(longest.tokens(k), 1, f"k={k}", _SMALL, ha="center", transform=where)


def _draw_points(axes: Axes, series: Sequence[_Series], field: str) -> None:
    from matplotlib.transforms import ScaledTranslation

    offsets = _offsets(series, field)
    for each in series:
        rows = sorted(each.rows, key=lambda row: row.per_problem(field))
        # Arms of equal cost would hide each other: symbols move aside by some points, no number
        # does.
        aside = ScaledTranslation(offsets[each.name] / 72, 0, axes.figure.dpi_scale_trans)
        middle = [_percent(row.accuracy) for row in rows]
        low = [m - _percent(row.accuracy_low) for m, row in zip(middle, rows, strict=True)]
        high = [_percent(row.accuracy_high) - m for m, row in zip(middle, rows, strict=True)]
        axes.errorbar(
            [row.per_problem(field) for row in rows],
            middle,
            yerr=[low, high],
            color=each.colour,
            marker=each.marker,
            markersize=7,
            linewidth=1.5,
            capsize=3,
            transform=axes.transData + aside,
        )


def _offsets(series: Sequence[_Series], field: str) -> dict[str, float]:
    """Points by which each series moves aside: none, but for those that cost just the same."""
    alike: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for each in series:
        alike[tuple(sorted(f"{row.per_problem(field):.3g}" for row in each.rows))].append(each.name)
    return {
        name: (place - (len(names) - 1) / 2) * _SPREAD
        for names in alike.values()
        for place, name in enumerate(names)
    }


def _dress(main: Axes, chain: Axes, series: Sequence[_Series]) -> None:
    rows = [row for each in series for row in each.rows]
    starts = [each.tokens(1) for each in series if each.curve]
    for axes, field in ((main, "completion_tokens"), (chain, "sequential_tokens")):
        axes.set_xlabel(field.replace("_", " ") + " per problem")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        values = [row.per_problem(field) for row in rows]
        _set_width(axes, values + (starts if axes is main else []))
    main.set_ylabel("accuracy (%)")
    ends = [row.accuracy_low or 0 for row in rows] + [row.accuracy_high or 0 for row in rows]
    for each in series:
        if each.curve:
            ends += [end for i in each.curve.selected.values() for end in (i.low, i.high)]
            ends += [i.mean for i in each.curve.covered.values()]
    if ends:
        margin = 0.06 * (max(ends) - min(ends)) + 0.01
        main.set_ylim(_percent(min(ends) - margin), _percent(max(ends) + margin))


def _set_width(axes: Axes, values: Sequence[float]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    if not values or min(values) <= 0:
        return
    low, high = min(values), max(values)
    if high > 4 * low:
        axes.set_xscale("log", base=2)
        axes.set_xlim(low / 1.3, high * 1.3)
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        margin = 0.25 * (high - low) or 0.25 * high
        axes.set_xlim(max(0, low - margin), high + margin)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def _label(series: _Series, axes: Axes) -> Label:
    row = series.rows[-1]
    y = _percent(row.accuracy)
    x = axes.get_xlim()[1] if series.level else row.per_problem("completion_tokens")
    return Label(f"{series.name} {y:.1f}%", x, y, series.colour, series.marker)


def _ceiling(series: _Series, all_of_them: Sequence[_Series]) -> Label:
    assert series.curve
    n, y = series.curve.n, _percent(series.curve.covered[series.curve.n].mean)
    whose = f", {series.name}" if len(all_of_them) > 1 else ""
    return Label(
        f"ceiling, any of {n} right{whose} {y:.1f}%", series.tokens(n), y, _CEILING["color"]
    )


def _footnote(series: Sequence[_Series]) -> str:
    curves = [each.curve for each in series if each.curve]
    said = []
    if curves:
        drawn = [curve.drawn for curve in curves if curve.drawn]
        votes = f" (weighted votes: {min(drawn):,} random ones a problem)" if drawn else ""
        said.append(f"Curves at k<n: exact over subsets of the n samples{votes}.")
    said.append("Bands and bars: 95% over problems, each arm by itself")
    said[-1] += "; summary.md compares arms problem by problem." if len(series) > 1 else "."
    return "\n".join(said)


def _percent(share: float | None) -> float:
    return 100 * (share or 0.0)
