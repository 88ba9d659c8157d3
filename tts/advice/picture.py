"""The roofline as a picture: the operators of a step, and of reading prompts, under the machine's.

Both axes are logarithmic. An operator stands at its operations a byte, as high as the operations a
second that are predicted for it; the size of its symbol is its share of the time. On a processor it
may stand above the roof of the memory: small weights stay in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.advice.advisor import Case, Row
from tts.engine.machine import seconds
from tts.engine.roofline import Operator, decode, operators, prefill

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart by all common kinds of colour vision; symbols say it again.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("s", "^", "D", "v", "P", "X", "o", "*")
_LEGEND: dict[str, Any] = {
    "fontsize": 8,
    "title_fontsize": 9,
    "frameon": False,
    "alignment": "left",
}
_LEAST, _MOST = 20.0, 300.0  # points of a symbol's area


def draw(case: Case, row: Row, title: str, path: Path) -> None:
    """Draw `picture` to a PNG file.

    Args:
        case: As there.
        row: As there.
        title: As there.
        path: Of the file.
    """
    figure = picture(case, row, title)
    # Whole or not at all.
    temporary = path.with_name(path.name + ".part")
    figure.savefig(temporary, format="png")
    temporary.replace(path)


def picture(case: Case, row: Row, title: str) -> Figure:
    """The operators of one plan on the roofline of its machine.

    Args:
        case: What was asked.
        row: The plan, at least one answer of which fits.
        title: Of the picture.
    """
    from matplotlib.figure import Figure  # takes a second to import

    numerics = row.plan.loaded(case.shape, case.machine.hardware).numerics
    load, count = case.workload, row.found.in_flight
    middle = load.prompt_tokens + (load.completion_tokens + 1) / 2
    step = operators(case.shape, numerics, decode(count, middle))
    prompt = prefill(1, load.prompt_tokens, load.cached_tokens(case.block))
    read = operators(case.shape, numerics, prompt)
    figure = Figure((10, 5.6), layout="constrained", dpi=150)
    axes = figure.subplots()
    where = [each.intensity for each in (*step, *read)]
    _roofs(axes, case, sorted({numerics.arithmetic, numerics.plain}), where)
    shown = _scatter(axes, case, step, filled=True)
    first = axes.legend(
        handles=shown, title=f"a step of {count:,.0f}", loc="upper left",
        bbox_to_anchor=(1.01, 1.0), **_LEGEND,
    )  # fmt: skip
    shown = _scatter(axes, case, read, filled=False)
    axes.legend(
        handles=shown, title="reading a prompt", loc="lower left", bbox_to_anchor=(1.01, 0.0),
        **_LEGEND,
    )  # fmt: skip
    axes.add_artist(first)  # the second legend has taken its place
    axes.set(xscale="log", yscale="log", xlabel="operations a byte", ylabel="operations a second")
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _roofs(axes: Axes, case: Case, arithmetics: Sequence[str], where: Sequence[float]) -> None:
    machine = case.machine
    low, high = min(where) / 3, 3 * max([*where, *map(machine.ridge, arithmetics)])
    for style, kind in zip(cycle(("-", "--", ":")), arithmetics):
        ridge, peak = machine.ridge(kind), machine.peaks[kind]
        x, y = [low, ridge, high], [low * machine.bandwidth, peak, peak]
        axes.plot(x, y, style, color="#777777", linewidth=1.2)
        axes.annotate(
            f"{kind}: {peak:.2g} a second", (high, peak), ha="right", va="bottom", fontsize=8
        )
    axes.annotate(
        f"{machine.bandwidth / 1e9:,.0f} GB/s",
        (low, low * machine.bandwidth),
        xytext=(4, 8),
        textcoords="offset points",
        fontsize=8,
    )


def _scatter(
    axes: Axes, case: Case, found: Sequence[Operator], *, filled: bool
) -> list[PathCollection]:
    times = [seconds(each, case.machine, case.efficiency).total for each in found]
    looks = zip(found, times, cycle(_COLOURS), cycle(_MARKERS))
    return [
        axes.scatter(
            [each.intensity],
            [each.calls * each.ops / took],
            s=_LEAST + _MOST * took / sum(times),
            marker=marker,
            facecolors=colour if filled else "none",
            edgecolors=colour,
            label=f"{each.name}: {took / sum(times):.0%}",
            zorder=3,
        )
        for each, took, colour, marker in looks
    ]
