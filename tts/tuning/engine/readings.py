"""What is measured, and how measurements are compared.

The workload is cut into pieces: the same problems with the same seeds for every candidate, so that
two candidates are compared piece by piece. What one is worth on a piece is a number of which more
is better, and a comparison is a ratio; ratios are averaged as logarithms.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from tts.types import Problem

Objective = Literal["throughput", "latency"]
"""Completion tokens a second of wall-clock time, or the median seconds of a problem."""

OBJECTIVES: tuple[str, ...] = get_args(Objective)

Answers = Mapping[str, str | None]
"""The final answer of each problem, by its name and repeat."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one piece of the workload took.

    Attributes:
        seconds: From the first request to the last result, above 0.
        tokens: Completion tokens of all problems.
        latencies: Seconds of each problem, at least one.
        answers: What was answered.
    """

    seconds: float
    tokens: int
    latencies: tuple[float, ...]
    answers: Answers

    def worth(self, objective: Objective) -> float:
        """How good that is; more is better, and it is above 0."""
        if objective == "throughput":
            return max(self.tokens, 1) / self.seconds
        return 1 / statistics.median(self.latencies)


def shown(worth: float, objective: Objective) -> float:
    """A worth in the unit of the objective: tokens a second, or seconds."""
    return worth if objective == "throughput" else 1 / worth


def ratio(worths: Sequence[float], others: Sequence[float]) -> float:
    """How much better one is than another: the geometric mean over pieces that both have.

    Args:
        worths: By piece, at least one.
        others: Of what it is compared with, by piece, at least one.
    """
    pairs = list(zip(worths, others, strict=False))
    return math.exp(math.fsum(math.log(one / other) for one, other in pairs) / len(pairs))


def percentile(values: Sequence[float], part: float) -> float:
    """The value that a part of all does not exceed (the nearest rank).

    Args:
        values: At least one.
        part: Above 0, at most 1.
    """
    return sorted(values)[math.ceil(part * len(values)) - 1]


def differing(answers: Answers, others: Answers) -> int:
    """How many problems that both have answered have another answer."""
    return sum(answers[name] != others[name] for name in answers.keys() & others.keys())


def pieces(problems: Sequence[Problem], size: int, count: int) -> list[list[Problem]]:
    """The workload in pieces, and before them one to warm up on.

    Where there are too few problems they come again, as repeats with draws of their own.

    Args:
        problems: Of the task, at least one.
        size: Problems in a piece, at least 1.
        count: Pieces that are measured, at least 1.

    Returns:
        `count + 1` pieces, no two of which share a problem and its repeat.
    """
    found = []
    for start in range(0, (count + 1) * size, size):
        numbers = range(start, start + size)
        taken = ((problems[n % len(problems)], n // len(problems)) for n in numbers)
        found.append([replace(problem, repeat=problem.repeat + again) for problem, again in taken])
    return found


def name_of(problem_id: str, repeat: int) -> str:
    """What an answer is filed under."""
    return f"{problem_id}#{repeat}"
