"""The picture of the chains of a run: how long they are, and where their answer is there.

An arm has two panels; right and wrong answers are told apart by colour and by line. Knows chains,
not where they come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tts.evaluation.chains import KINDS, Kind, Portrayed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart by all common kinds of colour vision.
LOOKS: Mapping[Kind, tuple[str, str]] = {
    "right": ("#0072B2", "-"),
    "wrong": ("#D55E00", "--"),
    "ungraded": ("#009E73", "-."),
    "no answer": ("#777777", ":"),
}
_SMALL = {"fontsize": 8, "color": "#555555"}
_BINS = 40


def draw(chains: Sequence[Portrayed], path: Path) -> None:
    """Draw `picture` to a PNG file, whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    picture(chains).savefig(temporary, format="png")
    temporary.replace(path)


def picture(chains: Sequence[Portrayed]) -> Figure:
    """Two panels an arm: lengths, and places of the first conclusion that equals the answer.

    Lengths are tokens, or steps where no chain of the run tells its tokens.

    Args:
        chains: At least one.
    """
    from matplotlib.figure import Figure  # takes a second to import

    arms = list(dict.fromkeys(chain.arm for chain in chains))
    figure = Figure((10, 1 + 2.5 * len(arms)), layout="constrained", dpi=150)
    panels = figure.subplots(len(arms), 2, squeeze=False, sharex="col")
    counted = any(chain.portrait.tokens is not None for chain in chains)
    measure = "tokens" if counted else "steps"
    lengths = np.linspace(0, max(_values(chains, measure), default=1.0) or 1.0, _BINS + 1)
    for arm, (length, place) in zip(arms, panels, strict=True):
        own = [chain for chain in chains if chain.arm == arm]
        _histogram(length, own, measure, lengths)
        _histogram(place, own, "first_concluded", np.linspace(0, 1, _BINS // 2 + 1))
        length.set_title(arm, fontsize=10, loc="left")
        length.set_ylabel("share of chains %")
        length.legend(fontsize=8, frameon=False)
    panels[-1, 0].set_xlabel(f"{measure} of the thinking part")
    panels[-1, 1].set_xlabel("where the answer is concluded first, as a share of the chain")
    figure.supxlabel(
        "Each kind of chain adds up to 100%; thin lines are medians."
        " On the right: chains that conclude their answer in a step.",
        **_SMALL,
    )
    return figure


def _histogram(
    axes: Axes,
    chains: Sequence[Portrayed],
    name: str,
    edges: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    for kind in KINDS:
        values = _values([chain for chain in chains if chain.kind == kind], name)
        if not values:
            continue
        colour, style = LOOKS[kind]
        shares = 100 * np.histogram(values, edges)[0] / len(values)
        axes.stairs(
            shares,
            edges,
            color=colour,
            linestyle=style,
            linewidth=1.6,
            label=f"{kind} ({len(values):,})",
        )
        axes.axvline(
            float(np.median(values)), color=colour, linestyle=style, linewidth=0.8, alpha=0.6
        )
    axes.spines[["top", "right"]].set_visible(False)


def _values(chains: Sequence[Portrayed], name: str) -> list[float]:
    found = (getattr(chain.portrait, name) for chain in chains)
    return [float(value) for value in found if value is not None]
