"""The picture of a verifier: ROC, reliability, and the scores of right and wrong answers.

An arm has one row of three panels. Knows reports, not where they come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tts.evaluation.verifier_report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart by all common kinds of colour vision; line styles say it again.
_RIGHT, _WRONG, _GREY = "#0072B2", "#D55E00", "#777777"
_SMALL = {"fontsize": 8, "color": "#555555"}
_BINS = 30


def draw(reports: Mapping[str, Report], path: Path) -> None:
    """Draw `picture` to a PNG file, whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    picture(reports).savefig(temporary, format="png")
    temporary.replace(path)


def picture(reports: Mapping[str, Report]) -> Figure:
    """Three panels an arm.

    Args:
        reports: By arm, at least one.
    """
    from matplotlib.figure import Figure  # takes a second to import

    figure = Figure((11, 0.6 + 3.5 * len(reports)), layout="constrained", dpi=150)
    rows = figure.subplots(len(reports), 3, squeeze=False)
    for (roc, meant, scores), (label, report) in zip(rows, reports.items(), strict=True):
        _roc(roc, report)
        _reliability(meant, report)
        _scores(scores, report)
        roc.set_title(label, fontsize=10, loc="left")
        for axes in (roc, meant, scores):
            axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(
        "Left: the dot is the threshold. Middle: a dot is a tenth of the scale, its area the"
        " number of answers. Right: each kind adds up to 100%.",
        **_SMALL,
    )
    return figure


def _roc(axes: Axes, report: Report) -> None:
    _, false, true = report.judged.roc()
    axes.plot([0, 100], [0, 100], color=_GREY, linewidth=0.8, linestyle=":")
    axes.plot(100 * false, 100 * true, color=_RIGHT, linewidth=1.6)
    if report.false_positive and report.true_positive:
        place = 100 * report.false_positive.mean, 100 * report.true_positive.mean
        axes.plot(*place, color=_RIGHT, marker="o", markersize=6)
    if report.auc:
        axes.text(97, 4, f"AUC {100 * report.auc.mean:.1f}%", ha="right", fontsize=9)
    axes.set_xlabel("wrong answers accepted %")
    axes.set_ylabel("right answers accepted %")


def _reliability(axes: Axes, report: Report) -> None:
    meant = report.reliability
    if meant is None:
        axes.text(0.5, 0.5, "scores are no probabilities", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    axes.plot([0, 100], [0, 100], color=_GREY, linewidth=0.8, linestyle=":")
    said = [100 * each.said for each in meant.bins]
    right = [100 * each.right for each in meant.bins]
    most = max(each.n for each in meant.bins)
    axes.plot(said, right, color=_RIGHT, linewidth=1.2)
    axes.scatter(said, right, s=[8 + 120 * b.n / most for b in meant.bins], color=_RIGHT, alpha=0.7)
    axes.text(97, 4, f"ECE {100 * meant.ece:.1f}%", ha="right", fontsize=9)
    axes.set_xlabel("score as a probability %")
    axes.set_ylabel("answers that are right %")


def _scores(axes: Axes, report: Report) -> None:
    judged = report.judged
    ends = (0.0, 1.0) if judged.probable else (judged.raws.min(), judged.raws.max())
    edges = np.linspace(ends[0], ends[1] if ends[1] > ends[0] else ends[0] + 1, _BINS + 1)
    for name, mark, colour, style in (("right", 1, _RIGHT, "-"), ("wrong", 0, _WRONG, "--")):
        values = judged.raws[judged.right == mark]
        if len(values):
            shares = 100 * np.histogram(values, edges)[0] / len(values)
            label = f"{name} ({len(values):,})"
            axes.stairs(shares, edges, color=colour, linestyle=style, linewidth=1.6, label=label)
    axes.axvline(report.threshold, color=_GREY, linewidth=0.8)
    axes.legend(fontsize=8, frameon=False)
    axes.set_xlabel("score")
    axes.set_ylabel("share of answers %")
