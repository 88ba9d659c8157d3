"""How good a process reward model is: figures from its scores at every token of many answers.

Positions in an answer: `final` is its last token, `step end` the end of one of its steps,
`mid-step` any other. Of the latter two one an answer is drawn, so that long answers weigh no more
than short ones. What a score is held against is how the answer came out, once; the model is trained
on the chance of that. Intervals are of 95%, by bootstrap over problems.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.mini import weighted
from experiments.mini.figures import ALL, Triple, mean, place_of, triple
from experiments.mini.token_scores import Answers
from experiments.mini.tokenizer import VOCABULARY
from experiments.mini.weighted import BINS, Resampling
from tts.tasks.mini_problems import STEP_END

Place = Callable[[str, Sequence[int]], int | None]
"""From the name of an answer and its tokens to a position in it; None if there is none."""

STEP = VOCABULARY.index(STEP_END)
THRESHOLDS = (0.5, 0.7, 0.9)
PARTS = tuple(tenth / 10 for tenth in range(1, 10))
"""Relative positions at which partial scores are held against final ones."""


@dataclass(frozen=True)
class Seen:
    """One position of each answer that has one; arrays of shape (answers,).

    Attributes:
        scores: At that position.
        final: At the last token of the same answer.
        right: Whether the answer came out right.
        levels: Of its problem.
        resample: The bootstrap over their problems.
    """

    scores: NDArray[np.float64]
    final: NDArray[np.float64]
    right: NDArray[np.bool_]
    levels: NDArray[np.int64]
    resample: Resampling

    def of(self, level: int) -> Seen:
        """Those of one level."""
        chosen = self.levels == level
        _, groups = np.unique(self.resample.groups[chosen], return_inverse=True)
        return Seen(
            self.scores[chosen],
            self.final[chosen],
            self.right[chosen],
            self.levels[chosen],
            Resampling(groups),
        )


def see(answers: Sequence[Answers], place: Place) -> Seen:
    """Look at one position of each answer; those without one, or without a token, are left out."""
    rows = []
    for group, problem in enumerate(answers):
        level = place_of(problem.problem_id)[0]
        for n, (tokens, scores) in enumerate(zip(problem.tokens, problem.scores, strict=True)):
            at = place(f"{problem.problem_id}/{n}", tokens) if tokens else None
            if at is not None:
                rows.append((scores[at], scores[-1], problem.right[n], level, group))
    seen, last, right, levels, groups = zip(*rows, strict=True)
    return Seen(
        np.array(seen, dtype=np.float64),
        np.array(last, dtype=np.float64),
        np.array(right, dtype=np.bool_),
        np.array(levels),
        Resampling(np.unique(groups, return_inverse=True)[1]),
    )


def final(name: str, tokens: Sequence[int]) -> int | None:
    """The last token."""
    return len(tokens) - 1


def step_end(name: str, tokens: Sequence[int]) -> int | None:
    """The end of a step, drawn at random."""
    return _drawn(name, [n for n, token in enumerate(tokens[:-1]) if token == STEP])


def mid_step(name: str, tokens: Sequence[int]) -> int | None:
    """Neither the last token nor the end of a step, drawn at random."""
    return _drawn(name, [n for n, token in enumerate(tokens[:-1]) if token != STEP])


def part(share: float) -> Place:
    """The token that ends a share of the answer, above 0 and at most 1."""
    return lambda name, tokens: max(0, math.ceil(share * len(tokens) - 1e-9) - 1)


def _drawn(name: str, places: Sequence[int]) -> int | None:
    return random.Random(name).choice(places) if places else None


KINDS: dict[str, Place] = {"final": final, "step end": step_end, "mid-step": mid_step}


def figures(answers: Sequence[Answers]) -> dict[str, Any]:
    """All figures of the card, of JSON types.

    Args:
        answers: Of all problems, scored; equally many problems of each level, and equally many
            answers to each.
    """
    seen = {kind: see(answers, place) for kind, place in KINDS.items()}
    return {
        "samples": {
            "problems": len(answers),
            "answers": sum(len(problem.tokens) for problem in answers),
            "right": mean([float(np.mean(problem.right)) for problem in answers]),
        },
        "auc": {kind: areas(each) for kind, each in seen.items()},
        "calibration": {kind: calibration(each) for kind, each in seen.items()},
        "thresholds": {f"{t:g}": rates(seen["final"], t) for t in THRESHOLDS},
        "positions": {f"{share:g}": partial(see(answers, part(share))) for share in PARTS},
    }


def areas(seen: Seen) -> dict[str, Triple]:
    """Area under the curve by level, over all answers, and within problems.

    Over all answers a score also earns by telling hard problems from easy ones; within a problem,
    which is what choosing among answers needs, it cannot. Problems of one outcome do not count.
    """
    found = {str(level): _area(seen.of(level)) for level in sorted(set(seen.levels.tolist()))}
    found[ALL] = _area(seen)
    groups = seen.resample.groups
    within = [
        weighted.auc(seen.scores[own], seen.right[own])(np.ones(int(own.sum())))
        for own in (groups == group for group in range(groups.max() + 1))
        if 0 < seen.right[own].sum() < own.sum()
    ]
    return found | ({"within": mean(within)} if within else {})


def _area(seen: Seen) -> Triple:
    return triple(seen.resample(weighted.auc(seen.scores, seen.right)))


def calibration(seen: Seen) -> dict[str, Any]:
    """Expected calibration error, Brier score, and the reliability curve they come from."""
    error = weighted.calibration_error(seen.scores, seen.right)
    brier = weighted.average((seen.scores - seen.right) ** 2)
    places = weighted.bins(seen.scores)
    curve = []
    for number in range(BINS):
        own = places == number
        if own.any():
            right = seen.resample(weighted.share(seen.right, own))
            curve.append(
                {
                    "from": number / BINS,
                    "to": (number + 1) / BINS,
                    "part": float(own.mean()),
                    "score": float(seen.scores[own].mean()),
                    "right": triple(right),
                }
            )
    return {
        "ece": triple(seen.resample(error)),
        "brier": triple(seen.resample(brier)),
        "curve": curve,
    }


def rates(seen: Seen, threshold: float) -> dict[str, Triple]:
    """What comes of taking each answer for right whose score is a threshold or more."""
    taken = seen.scores >= threshold
    everything = np.ones_like(taken)
    asked = {
        "false positives": (taken, ~seen.right),
        "true positives": (taken, seen.right),
        "precision": (seen.right, taken),
        "taken": (taken, everything),
    }
    return {name: triple(seen.resample(weighted.share(*of))) for name, of in asked.items()}


def partial(seen: Seen) -> dict[str, Triple]:
    """What the score of an unfinished answer says of its final score, and of how it comes out."""
    return {
        "pearson": triple(seen.resample(weighted.pearson(seen.scores, seen.final))),
        "spearman": triple(seen.resample(weighted.spearman(seen.scores, seen.final))),
        "auc": _area(seen),
    }
