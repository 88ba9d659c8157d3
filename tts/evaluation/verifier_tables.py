"""What a verifier is worth: tables, and plain values for a file. Knows reports only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tts.evaluation.report import Sheet
from tts.evaluation.statistics import Interval
from tts.evaluation.verifier_report import Group, Report

_NONE = "–"


def sheets(reports: Mapping[str, Report]) -> list[Sheet]:
    """A table of all arms, and for each a table of its levels and bins of difficulty."""
    return [_overview(reports), *(_groups(label, each) for label, each in reports.items())]


def notes(reports: Mapping[str, Report]) -> list[str]:
    """What must be said beside the numbers."""
    said = []
    for label, each in reports.items():
        if each.judged.silent:
            said.append(
                f"{label}: {each.judged.silent:,} samples hold no answer, and are left out."
            )
        if not each.given:
            said.append(
                f"{label}: the threshold {each.threshold:.3g} is the best for these very answers"
                " (Youden's index), so the rates at it are a little too good."
            )
        if each.never:
            said.append(
                f"{label}: on {_percent(each.never)}% of the problems none of these answers is"
                " accepted, and resampling would go on."
            )
        if each.reliability is None:
            said.append(f"{label}: the scores are no probabilities, so nothing is calibrated.")
    return said


def markdown(reports: Mapping[str, Report]) -> str:
    """The text of `verifier_report.md`."""
    said = "".join(f"\n{note}\n" for note in notes(reports))
    tables = "\n".join(sheet.markdown() for sheet in sheets(reports))
    return f"{tables}\n![ROC, reliability and scores](verifier_report.png)\n{said}"


def entry(report: Report) -> dict[str, Any]:
    """Plain values of one arm; null where there is no figure."""
    judged = report.judged
    intervals = {
        name: _plain(getattr(report, name))
        for name in ("accuracy", "auc", "within", "true_positive", "false_positive")
    }
    return {
        "n_problems": len(judged.problems),
        "n_answers": len(judged.raws),
        "n_silent": judged.silent,
        **intervals,
        "n_within": report.n_within,
        "threshold": report.threshold,
        "threshold_given": report.given,
        "ceiling": _plain(report.ceiling),
        "ceiling_common_rates": _plain(report.common),
        "first_accepted": _plain(report.first),
        "never_accepted": report.never,
        "reliability": asdict(report.reliability) if report.reliability else None,
        "difficulty": [asdict(group) for group in report.bins],
        "levels": [asdict(group) for group in report.levels],
        "best_of_k": {k: _plain(interval) for k, interval in report.selection.items()},
    }


def _overview(reports: Mapping[str, Report]) -> Sheet:
    columns = [_column(report) for report in reports.values()]
    lines = tuple((name, *(column[name] for column in columns)) for name in columns[0])
    return Sheet("Verifier", ("% [95%]", *reports), lines)


def _column(report: Report) -> dict[str, str]:
    judged, meant = report.judged, report.reliability
    best = max(report.selection, default=None)
    return {
        "problems": f"{len(judged.problems):,}",
        "answers": f"{len(judged.raws):,}",
        "right answers": _cell(report.accuracy),
        "AUC": _cell(report.auc),
        "AUC within a problem": _cell(report.within),
        "  problems with right and wrong": f"{report.n_within:,}",
        "expected calibration error": _percent(meant.ece) if meant else _NONE,
        "Brier score": f"{meant.brier:.3f}" if meant else _NONE,
        "threshold": f"{report.threshold:.3g}",
        "true positives": _cell(report.true_positive),
        "false positives": _cell(report.false_positive),
        "ceiling of resampling": _cell(report.ceiling),
        "  with the same rates for all": _cell(report.common),
        "  on these answers": _cell(report.first),
        "no answer accepted": _percent(report.never),
        "best of all samples": _NONE
        if best is None
        else f"{_cell(report.selection[best])} k={best}",
    }


def _groups(label: str, report: Report) -> Sheet:
    heads = ("problems", "answers", "right %", "true pos. %", "false pos. %", "ceiling %")
    lines = [_line(f"level {group.name}", group) for group in report.levels]
    lines += [_line(group.name, group) for group in report.bins if group not in report.levels]
    return Sheet(f"{label}: by level and by share of right answers", ("", *heads), tuple(lines))


def _line(name: str, group: Group) -> tuple[str, ...]:
    shares = (group.accuracy, group.true_positive, group.false_positive, group.ceiling)
    return (name, f"{group.problems:,}", f"{group.answers:,}", *map(_percent, shares))


def _cell(interval: Interval | None) -> str:
    if interval is None:
        return _NONE
    ends = f"{_percent(interval.low)}, {_percent(interval.high)}"
    return f"{_percent(interval.mean)} \\[{ends}]"


def _percent(share: float | None) -> str:
    return _NONE if share is None or math.isnan(share) else f"{100 * share:.1f}"


def _plain(interval: Interval | None) -> Sequence[float] | None:
    return None if interval is None else [interval.mean, interval.low, interval.high]
