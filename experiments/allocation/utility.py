"""Optimal stopping against every fixed number of samples: utility a problem.

    python -m experiments.allocation.utility outputs/allocation/told

The scored samples are those of the arm `best_of_n n=40`. A fixed number means: resample until one
is accepted, at most that often, and abstain then. Which fixed number is best is known only
afterwards; the controller knows nothing of these problems beforehand. Two-fold, it knows the other
half of them (the mean over 20 splits): where it stops is worked out on the samples that are there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments.allocation.beliefs import Beliefs, records_of
from tts.budget import OptimalStopping
from tts.budget.optimal_stopping import utility
from tts.evaluation.statistics import bootstrap
from tts.seeds import derive

MARGIN = 0.01
SPLITS = 20
BOUNDS = (-2.4, 2.4)  # between a wrong answer after 40 samples and a right one for nothing


def worth(right: bool, answered: bool, samples: int) -> float:
    """The utility of a problem, by the values that the controller has of itself."""
    v = OptimalStopping()
    return utility(
        right,
        answered,
        samples,
        right_value=v.right_value,
        wrong_value=v.wrong_value,
        sample_cost=v.sample_cost,
    )


def resampled(samples: list[dict[str, Any]], most: int, accept: float) -> float:
    """What comes of resampling until one is accepted, at most so often."""
    for number, sample in enumerate(samples[:most], 1):
        if sample["answer"] is not None and sample["score"]["raw"] >= accept:
            return worth(sample["correct"], True, number)
    return worth(False, False, most)


def controlled(record: dict[str, Any]) -> float:
    """What came of a problem under the controller."""
    answered = record["answer"] is not None
    return worth(bool(record["correct"]), answered, len(record["candidates"]))


def stops_at(beliefs: Beliefs, most: int) -> int:
    """How many rejected samples make the controller abstain, `most` at most."""
    controller = OptimalStopping(
        types=[(prior, chance) for prior, chance in beliefs.types],
        completeness=beliefs.completeness,
        soundness=beliefs.soundness,
    )
    return next((n for n in range(most) if controller.worth(n) <= 0), most)


def two_fold(
    pool: dict[str, list[dict[str, Any]]], accept: float, splits: int = SPLITS
) -> tuple[list[int], dict[str, float]]:
    """Each half of the problems by what the other one teaches, averaged over several splits.

    Returns:
        The numbers of samples that were learnt, and for each problem what comes of it on average.
    """
    numbers, found = set(), {name: 0.0 for name in pool}
    for split in range(splits):
        order = sorted(pool, key=lambda name: derive(0, "fold", split, name))
        for learnt, judged in ((order[::2], order[1::2]), (order[1::2], order[::2])):
            beliefs = Beliefs.of([pool[name] for name in learnt], accept)
            n = stops_at(beliefs, min(len(samples) for samples in pool.values()))
            numbers.add(n)
            for name in judged:
                found[name] += resampled(pool[name], n, accept) / splits
    return sorted(numbers), found


def said(name: str, values: Sequence[float]) -> None:
    """One row: the mean with its interval."""
    found = bootstrap(values, bounds=BOUNDS)
    print(f"{name:24} {found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]")


def verdict(mine: Sequence[float], best: Sequence[float]) -> None:
    """How far one is ahead of the best, problem by problem, and what that says of the target."""
    ahead = [m - f for m, f in zip(mine, best, strict=True)]
    found = bootstrap(ahead, bounds=BOUNDS)
    said("ahead of the best", ahead)
    sure = "met" if found.low >= -MARGIN else "not met" if found.high < -MARGIN else "undecided"
    print(f"behind it by {MARGIN} at most: {sure}")


def main() -> None:
    """Print the table and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--accept", type=float, default=0.5)
    given = parser.parse_args()
    pool = records_of(given.folder, "best_of_n n=40")
    run = records_of(given.folder, "optimal_stopping")
    problems = sorted(pool.keys() & run.keys())
    print(f"{len(problems)} problems")
    fixed = {
        n: [resampled(pool[p]["candidates"], n, given.accept) for p in problems]
        for n in range(1, 41)
    }
    best = max(fixed, key=lambda n: fmean(fixed[n]))
    mine = [controlled(run[p]) for p in problems]
    for n in (1, 2, 4, 8, 16, 40):
        said(f"at most {n}", fixed[n])
    said(f"at most {best}, the best", fixed[best])
    said("optimal stopping", mine)
    verdict(mine, fixed[best])
    numbers, halves = two_fold({p: pool[p]["candidates"] for p in problems}, given.accept)
    theirs = [halves[p] for p in problems]
    said(f"two-fold, at most {', '.join(map(str, numbers))}", theirs)
    verdict(theirs, fixed[best])


if __name__ == "__main__":
    main()
