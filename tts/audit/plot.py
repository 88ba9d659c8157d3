"""The picture of an audit: scores of the candidate's and of honest sequences, and the area.

On the left how the scores are distributed; on the right how many tokens it takes to tell the two
apart. Knows audits only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tts.audit.audit import Audit
from tts.audit.verdict import scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart by all common kinds of colour vision; line styles say it again.
_CANDIDATE, _HONEST, _AGAIN = "#D55E00", "#0072B2", "#009E73"
_GREY = "#777777"
_SMALL = {"fontsize": 8, "color": "#555555"}


def draw(found: Audit, title: str, path: Path) -> None:
    """Draw `picture` to a PNG file, whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    picture(found, title).savefig(temporary, format="png")
    temporary.replace(path)


def picture(found: Audit, title: str) -> Figure:
    """Two panels.

    Args:
        found: The audit.
        title: Above them.
    """
    from matplotlib.figure import Figure  # takes a second to import

    figure = Figure((9.5, 4.0), layout="constrained", dpi=150)
    left, right = figure.subplots(1, 2)
    _scores(left, found)
    _areas(right, found)
    left.set_title(title, fontsize=10, loc="left")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    noise = "with the noise of the draws" if found.noise else "without the noise of the draws"
    figure.supxlabel(f"Margins are taken {noise}. Bars: 95% intervals.", **_SMALL)
    return figure


def _scores(axes: Axes, found: Audit) -> None:
    """Cumulative, so that many equal scores, and few large ones, can both be seen."""
    whole = found.points[-1].tokens
    for name, side, colour, style in (
        ("honest", found.honest, _HONEST, "-"),
        ("honest again", found.again, _AGAIN, ":"),
        ("candidate", found.candidate, _CANDIDATE, "--"),
    ):
        values = np.sort(scores(side.margins, whole))
        shares = 100 * np.arange(1, len(values) + 1) / len(values)
        label = f"{name} ({len(values):,})"
        axes.step(values, shares, where="post", color=colour, linestyle=style, label=label)
    axes.set_xlabel(f"mean margin of {whole} tokens (nats)")
    axes.set_ylabel("sequences up to there %")
    axes.legend(fontsize=8, frameon=False)


def _areas(axes: Axes, found: Audit) -> None:
    axes.axhline(0.5, color=_GREY, linewidth=0.8, linestyle=":")
    tokens = np.array([point.tokens for point in found.points], dtype=np.float64)
    for name, areas, colour, style, shift in (
        ("honest again", [p.calibration for p in found.points], _AGAIN, ":", 0.98),
        ("candidate", [p.candidate for p in found.points], _CANDIDATE, "--", 1.02),
    ):
        means = np.array([area.mean for area in areas])
        ends = np.array([[a.mean - a.low for a in areas], [a.high - a.mean for a in areas]])
        axes.errorbar(
            tokens * shift, means, np.maximum(ends, 0), color=colour, linestyle=style, marker="o",
            markersize=3, capsize=2, label=name,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(tokens, [f"{value:.0f}" for value in tokens])
    axes.minorticks_off()
    axes.set_ylim(min(0.4, *(p.candidate.low for p in found.points)) - 0.02, 1.02)
    axes.set_xlabel("tokens of a sequence")
    axes.set_ylabel("area under the ROC curve, against honest")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
