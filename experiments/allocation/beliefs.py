"""What optimal stopping takes for granted, from a validation run whose samples have scores.

    python -m experiments.allocation.beliefs outputs/allocation/settings --arm best_of_n

Types of problems are fifths of them by the share of right samples, each with its mean;
completeness and soundness are those of the verifier at a threshold, over all samples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Self

from tts.evaluation.store import RESULTS, modernise

TYPES = 5


def records_of(folder: Path, arm: str) -> dict[str, dict[str, Any]]:
    """The records of one arm by problem; samples stand in the order of their numbers."""
    modernise(folder)
    with (folder / RESULTS).open(encoding="utf-8") as lines:
        records = (json.loads(line) for line in lines)
        return {r["id"]: r for r in records if r.get("arm") == arm}


def types_of(shares: Sequence[float]) -> list[list[float]]:
    """Priors and chances: the problems in equal parts, from the hardest to the easiest."""
    ordered, n = sorted(shares), len(shares)
    parts = [ordered[n * i // TYPES : n * (i + 1) // TYPES] for i in range(TYPES)]
    return [[1 / TYPES, round(fmean(part), 4)] for part in parts]


def rates(samples: Sequence[dict[str, Any]], accept: float) -> tuple[float, float]:
    """Completeness and soundness."""
    passed = {right: [s["score"]["raw"] >= accept for s in samples if s["correct"] is right]
              for right in (True, False)}  # fmt: skip
    return fmean(passed[True]), 1 - fmean(passed[False])


@dataclass(frozen=True)
class Beliefs:
    """What is taken for granted.

    Attributes:
        types: Of problems, each with its prior and its chance of a right sample.
        completeness: Share of right samples that are accepted.
        soundness: Share of wrong samples that are rejected.
    """

    types: list[list[float]]
    completeness: float
    soundness: float

    @classmethod
    def of(cls, problems: Sequence[Sequence[dict[str, Any]]], accept: float) -> Self:
        """What some problems teach.

        Args:
            problems: The samples of each.
            accept: Score from which on a sample is accepted.
        """
        shares = [fmean(s["correct"] for s in samples) for samples in problems]
        complete, sound = rates([s for samples in problems for s in samples], accept)
        return cls(types_of(shares), complete, sound)


def main() -> None:
    """Print what goes into the arm of the experiment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arm", default="best_of_n")
    parser.add_argument("--accept", type=float, default=0.5)
    given = parser.parse_args()
    records = records_of(given.folder, given.arm).values()
    found = Beliefs.of([record["candidates"] for record in records], given.accept)
    print(f"controller.types={json.dumps(found.types).replace(' ', '')}")
    print(f"controller.completeness={found.completeness:.3f}")
    print(f"controller.soundness={found.soundness:.3f}")


if __name__ == "__main__":
    main()
