"""The picture of the importance of steps: a histogram for each kind of step. Knows weighed chains.

An arm has a row of panels; right and wrong answers are told apart by colour and by line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tts.analysis.reading import Kind as StepKind
from tts.evaluation.chains import KINDS
from tts.evaluation.chains_plot import LOOKS
from tts.evaluation.step_importance import MARGIN, STEPS, Weighed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_TITLES = {"plain": "plain steps", "recheck": "re-checks", "change": "changes of mind"}
_BINS = 40
_LEAST, _MOST = 0.1, 100.0  # what lies beyond is counted in the outermost bins


def draw(chains: Sequence[Weighed], path: Path) -> None:
    """Draw `picture` to a PNG file, whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    picture(chains).savefig(temporary, format="png")
    temporary.replace(path)


def picture(chains: Sequence[Weighed]) -> Figure:
    """Three panels an arm: what plain steps, re-checks and changes of mind do for the answer.

    Args:
        chains: At least one.
    """
    from matplotlib.figure import Figure  # takes a second to import

    arms = list(dict.fromkeys(each.chain.arm for each in chains))
    figure = Figure((11, 1 + 2.5 * len(arms)), layout="constrained", dpi=150)
    panels = figure.subplots(len(arms), len(STEPS), squeeze=False, sharex=True, sharey=True)
    for arm, row in zip(arms, panels, strict=True):
        own = [each for each in chains if each.chain.arm == arm]
        for step, axes in zip(STEPS, row, strict=True):
            _panel(axes, own, step)
            axes.set_title(f"{arm}: {_TITLES[step]}", fontsize=10, loc="left")
        row[0].set_ylabel("share of steps %")
    figure.supxlabel(
        "importance: perplexity of the answer without the step, over that with it"
        f" (grey: within a factor of {MARGIN:g})",
        fontsize=9,
    )
    return figure


def _panel(axes: Axes, chains: Sequence[Weighed], step: StepKind) -> None:
    edges = np.geomspace(_LEAST, _MOST, _BINS + 1)
    axes.axvspan(1 / MARGIN, MARGIN, color="#dddddd", zorder=0)
    for kind in KINDS:
        own = [each for each in chains if each.chain.kind == kind]
        values = _values(own, step)
        if not values.size:
            continue
        colour, style = LOOKS[kind]
        shares = 100 * np.histogram(values.clip(_LEAST, _MOST), edges)[0] / values.size
        label = f"{kind} ({values.size:,})"
        axes.stairs(shares, edges, color=colour, linestyle=style, linewidth=1.6, label=label)
    if axes.patches[1:]:
        axes.legend(fontsize=8, frameon=False)
    axes.set_xscale("log")
    axes.spines[["top", "right"]].set_visible(False)


def _values(chains: Sequence[Weighed], step: StepKind) -> NDArray[np.float64]:
    found = [v for each in chains for n, v in each.importance.items() if each.kinds[n] == step]
    return np.array(found, dtype=np.float64)
