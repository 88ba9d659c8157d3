"""The landscape of a search as a picture.

Above, each line is a candidate on its way through the values of all knobs to its ratio over the
defaults, those knobs first that explain most. Below, the ratio over the values of the first few
knobs alone. What was given up early is hollow, what could not be measured stands at the bottom.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.tuning.engine.candidates import OURS, VLLM
from tts.tuning.engine.knobs import Knob, Value, word
from tts.tuning.engine.saving import ratios
from tts.tuning.engine.tried import Tried
from tts.tuning.engine.verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart by all common kinds of colour vision; symbols say it again.
_BLUE, _RED, _GREY = "#0072B2", "#D55E00", "#888888"
_MAP = "viridis"
_LINE = 0.05  # of the height of the upper picture, what a line of words takes
_PANELS = 4
_SHIFT = 0.12  # most that a symbol stands beside its value, so that it hides no other


def draw(found: Verdict, knobs: Sequence[Knob], title: str, path: Path) -> None:
    """Draw `picture` to a PNG file.

    Args:
        found: As there.
        knobs: As there.
        title: As there.
        path: Of the file.
    """
    figure = picture(found, knobs, title)
    # Whole or not at all.
    temporary = path.with_name(path.name + ".part")
    figure.savefig(temporary, format="png", pil_kwargs={"optimize": True})
    temporary.replace(path)


def picture(found: Verdict, knobs: Sequence[Knob], title: str) -> Figure:
    """All trials over all knobs.

    Args:
        found: What came of the search; at least one candidate was measured.
        knobs: That were turned, at least one.
        title: Of the picture.
    """
    from matplotlib.colors import Normalize  # takes a second to import
    from matplotlib.figure import Figure

    shares = importance(found.tried, knobs)
    ranked = sorted(knobs, key=lambda knob: -shares[knob.name])
    panels = ranked[:_PANELS]
    marks = ratios(found)
    values = [each.ratio for each in found.tried if each.ratios] + list(marks.values())
    scale = Normalize(min(values), max(values))
    figure = Figure((11, 8), layout="constrained", dpi=90)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    grid = figure.add_gridspec(2, len(panels), height_ratios=(1.15, 1))
    _paths(figure.add_subplot(grid[0, :]), found, ranked, scale, marks)
    first: Axes | None = None
    for column, knob in enumerate(panels):
        axes = figure.add_subplot(grid[1, column], sharey=first)
        _panel(axes, found, knob, shares[knob.name], scale, marks)
        if first is None:
            axes.set_ylabel("ratio over the defaults")
            first = axes
        else:
            axes.tick_params(labelleft=False)
    handles = _legend()
    figure.legend(handles=handles, loc="outside lower center", ncol=len(handles), frameon=False,
                  fontsize=8)  # fmt: skip
    return figure


def importance(tried: Sequence[Tried], knobs: Sequence[Knob]) -> dict[str, float]:
    """Which part of the variance of the log ratio the values of each knob explain, 0 to 1.

    By the knob alone, corrected for what chance explains with so many values (Kelley 1935,
    "An unbiased correlation ratio measure"). Knobs that matter only together get too little.

    Args:
        tried: Candidates; those without a ratio do not count.
        knobs: That were turned.
    """
    measured = [(each.point, math.log(each.ratio)) for each in tried if each.ratios]
    return {knob.name: _explained(knob, measured) for knob in knobs}


def _explained(knob: Knob, measured: Sequence[tuple[Mapping[str, Value], float]]) -> float:
    groups: dict[str, list[float]] = {}
    for point, value in measured:
        groups.setdefault(word(point.get(knob.name)), []).append(value)
    everything = [value for values in groups.values() for value in values]
    freedom = len(everything) - len(groups)
    if freedom < 1:
        return 0.0
    total = _squares(everything)
    if not total:
        return 0.0
    within = math.fsum(map(_squares, groups.values()))
    return max(0.0, 1 - (within / freedom) / (total / (len(everything) - 1)))


def _squares(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values)


def _paths(
    axes: Axes,
    found: Verdict,
    knobs: Sequence[Knob],
    scale: Normalize,
    marks: Mapping[str, float],
) -> None:
    """Candidates as lines through the values of their knobs."""
    from matplotlib import colormaps

    colours = colormaps[_MAP]
    low, high = float(scale.vmin or 0), float(scale.vmax or 1)
    room = (high - low) or 1.0
    rng = random.Random(0)
    shown = [each for each in found.tried if each.ratios]
    for each in sorted(shown, key=lambda one: one.ratio):
        shift = rng.uniform(-0.02, 0.02)
        heights = [_height(knob, each.point.get(knob.name)) + shift for knob in knobs]
        best = found.winner is not None and each.name == found.winner.name
        axes.plot(
            range(len(knobs) + 1),
            [*heights, (each.ratio - low) / room],
            "-" if each.status == "measured" else ":",
            color=_RED if best else colours(scale(each.ratio)),
            linewidth=3 if best else 1.4,
            alpha=1.0 if best else 0.8,
            zorder=4 if best else 2,
        )
    for place, knob in enumerate(knobs):
        axes.axvline(place, color=_GREY, linewidth=0.8, zorder=1)
        for value in knob.values:
            axes.annotate(
                word(value), (place, _height(knob, value)), xytext=(-5, 0), fontsize=8,
                textcoords="offset points", ha="right", va="center",
                bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
                zorder=5,
            )  # fmt: skip
    last = len(knobs)
    axes.axvline(last, color="black", linewidth=1.2, zorder=1)
    top = max([each.ratio for each in shown], default=1.0)
    named = [(value, name, _BLUE) for name, value in marks.items()]
    named = sorted([*named, (top, "best trial", "black")])
    heights = _apart([(value - low) / room for value, _, _ in named], _LINE)
    for height, (value, name, color) in zip(heights, named, strict=True):
        axes.annotate(
            f"{value:.2f} {name}", (last, height), xytext=(6, 0), fontsize=8,
            textcoords="offset points", va="center", color=color,
        )  # fmt: skip
    axes.set_xticks(range(last + 1), [*(_name(knob.name) for knob in knobs), "ratio"], fontsize=8)
    axes.set(xlim=(-0.4, last + 0.75), ylim=(-0.08, 1.08), yticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _apart(heights: Sequence[float], least: float) -> list[float]:
    """Ascending heights, moved up where they are too close to the one below to be read."""
    found: list[float] = []
    for height in heights:
        found.append(max(height, found[-1] + least) if found else height)
    return found


def _panel(
    axes: Axes,
    found: Verdict,
    knob: Knob,
    share: float,
    scale: Normalize,
    marks: Mapping[str, float],
) -> None:
    """The ratio over the values of one knob."""
    rng = random.Random(knob.name)
    low, high = float(scale.vmin or 0), float(scale.vmax or 1)
    floor = low - 0.12 * ((high - low) or 1.0)
    for name, value in marks.items():
        axes.axhline(
            value, color=_BLUE, linewidth=1, linestyle="-" if name == OURS else "--", zorder=1
        )
    for each in found.tried:
        chosen = each.point.get(knob.name)
        if chosen not in knob.values:
            continue
        place = knob.values.index(chosen) + rng.uniform(-_SHIFT, _SHIFT)
        if not each.ratios:
            axes.scatter([place], [floor], marker="x", color=_GREY, s=22, zorder=2)
            continue
        whole = each.status == "measured"
        best = found.winner is not None and each.name == found.winner.name
        look: dict[str, Any] = {"cmap": _MAP, "norm": scale, "c": [each.ratio]}
        if best:
            look = {"color": _RED}
        elif not whole:
            look = {"facecolors": "none", "edgecolors": _GREY}
        axes.scatter(
            [place], [each.ratio], marker="*" if best else "o" if whole else "v",
            s=130 if best else 34, zorder=4 if best else 3, **look,
        )  # fmt: skip
    axes.set_xticks(range(len(knob.values)), [word(value) for value in knob.values], fontsize=8)
    axes.set_xlim(-0.5, len(knob.values) - 0.5)
    axes.set_title(f"{knob.name}\nexplains {share:.0%}", fontsize=9, loc="left")
    axes.grid(alpha=0.2, axis="y")
    axes.spines[["top", "right"]].set_visible(False)


def _legend() -> list[Any]:
    from matplotlib.lines import Line2D

    def handle(label: str, **look: Any) -> Line2D:
        return Line2D([], [], **{"linestyle": "", "color": "black", "label": label, **look})

    return [
        handle("measured", marker="o", color="#21918c"),
        handle("given up early", marker="v", markerfacecolor="none", color=_GREY),
        handle("not feasible, or failed", marker="x", color=_GREY),
        handle("the winner", marker="*", color=_RED, markersize=11),
        handle(OURS, linestyle="-", color=_BLUE),
        handle(VLLM, linestyle="--", color=_BLUE),
    ]


def _height(knob: Knob, value: Value) -> float:
    """Where a value stands on its axis, 0 to 1."""
    return knob.values.index(value) / max(1, len(knob.values) - 1) if value in knob.values else -0.1


def _name(name: str) -> str:
    """A knob's name in two lines, so that neighbours do not meet."""
    words = name.split("_")
    middle = (len(words) + 1) // 2
    return "_".join(words[:middle]) + ("_\n" + "_".join(words[middle:]) if words[middle:] else "")
