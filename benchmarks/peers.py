"""Our searches beside those of its_hub 1.2.0, on one mock engine.

Run: `python -m benchmarks.peers [--json FILE]`, some seven minutes. The first run installs its_hub
in an environment of its own, in the user's cache folder.

Both sides have a process of their own, and the same mock engine in it (`_peers/mock.py`): 32 slots,
eight steps an answer, latencies that are log-normal, and a reward model that judges in batches. A
step takes 100 ms on average; the spread is such that 2.8 of eight particles are at work between two
barriers. A batch of eight costs 1.15 steps, nearly all of it for the items: roughly an 8B judge
that reads whole answers beside a 1B policy that adds a step to each. The k-th draw of a step takes
as long on both sides, and what was drawn and judged must agree within 10%. (its_hub's beam begins
with `n / width` first steps where ours draws `n`: 60 draws against 64, which counts against us.)
Each side is used as its users would: problems side by side by `solve_all`, and by `ainfer` under
`asyncio.gather`.

Reported are ratios of wall-clock within a round, whose order alternates: medians with ranges; and
the same where time passes only when nothing else can happen, so that neither code nor what else the
machine does takes any, and what is left is the shape of the searches. Slot use counts as long as
enough problems are open to fill all slots. What a judgement costs decides what there is to gain
over a barrier: the last rows show that by shape alone, and have no target.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from benchmarks._peers.mock import Job
from benchmarks._peers.places import Side, interpreter, side

TOLERANCE = 0.1
"""Largest difference in what the sides have drawn, or judged, as a share of the larger."""

Reports = Mapping[str, Sequence[Mapping[str, Any]]]
"""What each side, `ours` and `its_hub`, reported of each round."""


@dataclass(frozen=True)
class Comparison:
    """What both sides do.

    Attributes:
        name: What is compared.
        job: Ours.
        against: The search of theirs.
        ratio: Target, an upper bound of our seconds over theirs; None for none.
        slot_use: Target, a lower bound of our slot use, 0 to 1; None for none.
    """

    name: str
    job: Job
    against: str
    ratio: float | None = None
    slot_use: float | None = None


_EIGHT = Job("particles", problems=8, at_once=8)
_ALONE = Job("beam", problems=2, at_once=1)
_MANY = Job("particles", problems=32, at_once=32)

COMPARISONS = (
    Comparison("particle filter, 8 problems side by side", _EIGHT, "particles", ratio=0.9),
    Comparison("beam, 8 problems side by side", replace(_EIGHT, search="beam"), "beam", ratio=0.9),
    Comparison("beam, one problem alone", _ALONE, "beam", ratio=1.0),
    Comparison(
        "barrier-free beam against beam, one problem alone",
        replace(_ALONE, search="async_beam"),
        "beam",
        ratio=0.7,
    ),
    Comparison("particle filter, 32 problems", _MANY, "particles", slot_use=0.85),
    Comparison("beam, 32 problems", replace(_MANY, search="beam"), "beam", slot_use=0.85),
)
_FLAT = replace(_EIGHT, call_s=_EIGHT.call_s + 8 * _EIGHT.item_s, item_s=0)
_HALF = replace(_EIGHT, call_s=_EIGHT.call_s / 2, item_s=_EIGHT.item_s / 2, replicas=4)
JUDGES = (
    Comparison("judged for nothing", replace(_EIGHT, call_s=0, item_s=0), "particles"),
    Comparison("a batch of any size at the cost of eight", _FLAT, "particles"),
    Comparison("half the cost, half the replicas", _HALF, "particles"),
    Comparison("calls shared evenly by free replicas", replace(_EIGHT, even=True), "particles"),
)
"""The first comparison with other reward models."""


def compete(
    comparison: Comparison, ours: Side, theirs: Side, *, rounds: int, virtual: bool
) -> Reports:
    """Let both sides take turns, after a small job to warm up."""
    sides = (("ours", ours, comparison.job.search), ("its_hub", theirs, comparison.against))
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "its_hub": []}
    for number in range(-1, rounds):
        for name, place, search in sides[:: 1 if number % 2 else -1]:
            job = replace(comparison.job, search=search, seed=number, virtual=virtual)
            if number < 0:
                place.do(replace(job, problems=2, virtual=True))
            else:
                found[name].append(place.do(job))
    return found


def ratio(found: Reports) -> dict[str, float] | None:
    """Our seconds over theirs; None if in some round the sides did not do the same work."""
    pairs = list(zip(found["ours"], found["its_hub"], strict=True))
    for a, b in pairs:
        for count in ("calls", "judged"):
            if abs(a[count] - b[count]) > TOLERANCE * max(a[count], b[count]):
                return None
    return _spread([a["seconds"] / b["seconds"] for a, b in pairs])


def row(comparison: Comparison, shape: Reports, real: Reports | None) -> dict[str, Any]:
    """What came of a comparison, in virtual time and in real time, if that was measured."""
    told = real or shape
    found: dict[str, Any] = {
        "what": comparison.name,
        "rounds": len(told["ours"]),
        "ratio": ratio(real) if real else None,
        "shape": ratio(shape),
        "same_work": all(ratio(reports) for reports in (shape, told)),
        "target": {"ratio": comparison.ratio, "slot_use": comparison.slot_use},
    }
    for name, reports in told.items():
        known = [key for key, value in reports[0].items() if value is not None]
        found[name] = {key: _spread([report[key] for report in reports]) for key in known}
    return {**found, "met": _met(comparison, found)}


def _met(comparison: Comparison, found: Mapping[str, Any]) -> bool | None:
    """Whether the medians meet the target; None if there is none, or no ratio."""
    if found["ratio"] is None:
        return None
    if comparison.ratio is not None:
        return bool(found["ratio"]["median"] <= comparison.ratio)
    if comparison.slot_use is not None:
        return bool(found["ours"]["slot_use"]["median"] >= comparison.slot_use)
    return None


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def _line(found: Mapping[str, Any]) -> str:
    parts = ["the work differs"] if not found["same_work"] else []
    if found["ratio"]:
        parts.append(f"ours / its_hub {_said(found['ratio'])}")
    if found["shape"]:
        parts.append(f"by shape {_said(found['shape'])}")
    if "slot_use" in found["ours"]:
        parts.append(f"slot use {_said(found['ours']['slot_use'])}")
    for count in ("calls", "judged"):
        ours, theirs = (found[name][count]["median"] for name in ("ours", "its_hub"))
        parts.append(f"{count} {ours:,.0f} and {theirs:,.0f}")
    for name, sign in (("ratio", "at most"), ("slot_use", "at least")):
        if (goal := found["target"][name]) is not None:
            verdict = {True: "met", False: "not met", None: "undecided"}[found["met"]]
            parts.append(f"target {name.replace('_', ' ')} {sign} {goal:g}: {verdict}")
    return f"{found['what']}: {'; '.join(parts)}"


def _said(spread: Mapping[str, float]) -> str:
    return f"{spread['median']:.2f} [{spread['low']:.2f}, {spread['high']:.2f}]"


def measure(cache: Path, rounds: int) -> list[dict[str, Any]]:
    """All comparisons, printed as they come."""
    rows = []
    with (
        side(sys.executable, "benchmarks._peers.ours") as ours,
        side(interpreter(cache), "benchmarks._peers.hub") as theirs,
    ):
        for each in (*COMPARISONS, *JUDGES):
            shape = compete(each, ours, theirs, rounds=rounds, virtual=True)
            real = None
            if each in COMPARISONS:
                real = compete(each, ours, theirs, rounds=rounds, virtual=False)
            elif each is JUDGES[0]:
                print(f"{COMPARISONS[0].name}, with other reward models:")
            rows.append(row(each, shape, real))
            print(_line(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Measure and print; with `--json`, write as well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=user_cache_path("tts") / "peers")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = measure(arguments.cache, arguments.rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))
    if different := [row["what"] for row in rows if not row["same_work"]]:
        raise SystemExit(f"Both must do the same work: {'; '.join(different)}")


if __name__ == "__main__":
    main()
