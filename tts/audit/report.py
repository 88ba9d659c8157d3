"""What an audit found: a table, sentences, and plain values for a file. Knows audits only."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tts.audit.audit import SURE, Audit, Side
from tts.audit.verdict import scores
from tts.evaluation.report import Sheet
from tts.evaluation.statistics import Interval


def sheet(found: Audit, candidate: str, reference: str) -> Sheet:
    """A row for each number of tokens.

    Args:
        found: The audit.
        candidate: What the candidate is called.
        reference: What the reference is called.
    """
    lines = (
        (str(point.tokens), _area(point.candidate), _area(point.calibration))
        for point in found.points
    )
    columns = ("tokens of a sequence", "AUC [95%]", "of two honest runs [95%]")
    return Sheet(f"{candidate} against {reference}", columns, tuple(lines))


def sentence(found: Audit) -> str:
    """The verdict in words."""
    last = found.points[-1]
    area, sequences = _area(last.candidate).replace("\\", ""), len(found.candidate.margins)
    said = {
        "alike": f"nothing tells them apart, and the area lies within {found.tolerance:g} of 0.5",
        "different": "the interval lacks 0.5",
        "undecided": f"the interval holds 0.5, and is wider than {found.tolerance:g} around it",
    }[found.verdict]
    return (
        f"{found.verdict.upper()}: AUC {area} over {sequences} sequences of {last.tokens} tokens;"
        f" {said}."
    )


def notes(found: Audit) -> list[str]:
    """What must be said beside the table."""
    kind = "would have drawn otherwise" if found.noise else "finds not the likeliest"
    shares = (
        f"{100 * side.drawn_otherwise:.2f}% (mean margin {side.mean:.4g} nats)"
        for side in (found.candidate, found.honest, found.again)
    )
    said = [
        "Tokens that the reference {}: of the candidate {}, of two honest runs {} and {}.".format(
            kind, *shares
        )
    ]
    if found.noise:
        said.append("Margins are taken with the noise of the draws.")
    else:
        said.append(
            "Margins are taken without noise: that of the draws is unknown, or not the reference's"
            f" ({found.sure:.1f} standard deviations, {SURE:g} are needed)."
        )
    if not found.holds:
        said.append(
            "Two honest runs are told apart. That happens to one audit in twenty; if it happens"
            " again with another --seed, the reference does not repeat itself."
        )
    if found.verdict == "undecided":
        said.append("More --sequences would decide.")
    return said


def entries(found: Audit) -> dict[str, Any]:
    """Plain values, of JSON types; scores at the largest number of tokens."""
    sides = {"candidate": found.candidate, "honest": found.honest, "again": found.again}
    return {
        "verdict": found.verdict,
        "tolerance": found.tolerance,
        "noise": found.noise,
        "noise_standard_deviations": found.sure,
        "points": [asdict(point) for point in found.points],
        "runs": {name: _entry(side) for name, side in sides.items()},
        "usage": found.usage.as_dict(),
    }


def _entry(side: Side) -> dict[str, Any]:
    return {
        "texts": side.texts,
        "sequences": len(side.margins),
        "drawn_otherwise": side.drawn_otherwise,
        "mean_margin": side.mean,
        "scores": scores(side.margins, side.margins.shape[1]),
    }


def _area(interval: Interval) -> str:
    return f"{interval.mean:.3f} \\[{interval.low:.3f}, {interval.high:.3f}]"
