"""The picture of a process reward model: calibration, and what partial scores are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

_COLOURS = ("#0072B2", "#D55E00", "#009E73")  # Okabe & Ito's palette


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Draw reliability curves, and the worth of scores by position, with 95% intervals.

    Args:
        found: What `prm_figures.figures` gives.
        path: Of the PNG file.
    """
    figure = Figure(figsize=(8.4, 3.6), layout="constrained", dpi=100)
    left, right = figure.subplots(1, 2)
    _reliability(left, found["calibration"])
    _positions(right, found["positions"])
    drawn = BytesIO()
    figure.savefig(drawn, format="png")
    # A palette makes the file a third of its size.
    Image.open(drawn).convert("RGB").quantize(64).save(path, optimize=True)


def _reliability(axes: Axes, calibration: Mapping[str, Any]) -> None:
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for colour, (kind, each) in zip(_COLOURS, calibration.items(), strict=True):
        curve, error = each["curve"], each["ece"][0]
        scores = [point["score"] for point in curve]
        _with_bars(axes, scores, [p["right"] for p in curve], colour, f"{kind}, ECE {error:.3f}")
    axes.set(
        xlabel="score (mean of the bin)", ylabel="share that came out right", ylim=(-0.02, 1.02)
    )
    axes.legend(frameon=False, fontsize=8)


def _positions(axes: Axes, positions: Mapping[str, Any]) -> None:
    names = {"auc": "AUC against the outcome", "spearman": "Spearman with the final score"}
    for colour, (key, name) in zip(_COLOURS, names.items(), strict=False):
        at = [100 * float(share) for share in positions]
        _with_bars(axes, at, [each[key] for each in positions.values()], colour, name)
    axes.set(xlabel="part of the answer that is written (%)", ylim=(-0.02, 1.02))
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def _with_bars(
    axes: Axes, x: Sequence[float], triples: Sequence[Sequence[float]], colour: str, label: str
) -> None:
    means, lows, highs = np.array(triples, dtype=np.float64).T
    below, above = np.maximum(means - lows, 0), np.maximum(highs - means, 0)
    axes.errorbar(
        x, means, yerr=[below, above], color=colour, marker="o", markersize=3, linewidth=1.2,
        elinewidth=0.8, label=label,
    )  # fmt: skip
