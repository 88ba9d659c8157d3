"""Labels beside a panel, each as near to what it names as its neighbours let it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE, _WIDTH = 9, 32  # points; characters to a line
_SPACING = 1.5  # of lines of different labels


@dataclass(frozen=True)
class Label:
    """What stands beside a panel.

    Attributes:
        text: In words.
        x: Of what it names, in data.
        y: Likewise.
        colour: Of what it names.
        marker: Likewise; empty if it has none.
    """

    text: str
    x: float
    y: float
    colour: str
    marker: str = ""


def spread(
    wanted: Sequence[float], heights: Sequence[float], low: float, high: float
) -> list[float]:
    """Centres of boxes that stand one above the other without overlap, in the order wanted.

    Their distances from the wanted centres are least in the sum of squares: as a stack that has no
    gaps is told by where it starts, this is an isotonic regression. Then all is moved between the
    ends; what is too much for them starts at the lower one.

    Args:
        wanted: Centres; at least one.
        heights: Of each box, 0 or more.
        low: Lower end.
        high: Upper end.
    """
    from scipy.optimize import isotonic_regression

    order = np.argsort(wanted, kind="stable")
    sizes = np.asarray(heights)[order]
    offsets = np.cumsum(sizes) - sizes / 2
    starts = isotonic_regression(np.asarray(wanted)[order] - offsets).x
    centres = np.empty(len(order))
    centres[order] = np.clip(starts, low, max(low, high - sizes.sum())) + offsets
    return [float(centre) for centre in centres]


def place(axes: Axes, labels: Sequence[Label]) -> None:
    """Write labels on the right of a panel, whose size and limits are settled."""
    from matplotlib.lines import Line2D

    if not labels:
        return
    bottom, top = axes.get_ylim()
    texts = [fill(label.text, _WIDTH) for label in labels]
    line = _SPACING * _SIZE / 72 * axes.figure.dpi / axes.get_window_extent().height
    heights = [line * (1 + 0.8 * text.count("\n")) for text in texts]
    wanted = [(label.y - bottom) / (top - bottom) for label in labels]
    for label, text, y in zip(labels, texts, spread(wanted, heights, 0, 1), strict=True):
        thin = {"arrowstyle": "-", "color": label.colour, "linewidth": 0.6, "shrinkA": 0}
        end = (label.x, label.y)
        axes.annotate(
            "", end, (1.02, y), textcoords="axes fraction", arrowprops=thin, annotation_clip=False
        )
        key = Line2D([1.035], [y], color=label.colour, marker=label.marker or "_", markersize=6)
        key.set(transform=axes.transAxes, clip_on=False)
        axes.add_artist(key)
        axes.text(1.055, y, text, transform=axes.transAxes, fontsize=_SIZE, va="center")
