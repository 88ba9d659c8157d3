"""From margins to a verdict: texts pooled to sequences, their scores, and what they say.

Answers may be short, so a sequence is made of whole answers, one behind the other, until it has the
tokens that are wanted; no answer is in two sequences. Its score is the mean of its margins. The
same sequences, cut earlier, say how many tokens it takes to tell a candidate apart.

The rule. At the largest number of tokens: `different` if the interval of the area under the ROC
curve lacks 0.5; `alike` if it holds 0.5 and lies within the tolerance around it; `undecided`
otherwise, for want of sequences. With 95% intervals one honest candidate in twenty is called
different. Candidate and honest runs answer the same problems, which makes the interval too wide, if
anything. Whether the audit itself holds is seen from two honest runs, whose area must be 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tts.audit.auc import auc
from tts.audit.margins import Floats
from tts.evaluation.statistics import Interval

Verdict = Literal["alike", "different", "undecided"]

LENGTHS = (25, 50, 100, 200, 300)
"""Tokens of a sequence at which it is scored."""


@dataclass(frozen=True, slots=True)
class Point:
    """What a number of tokens shows.

    Attributes:
        tokens: Of each sequence, at least 1.
        candidate: Area between the candidate's sequences and honest ones, 0 to 1.
        calibration: Area between two honest runs.
    """

    tokens: int
    candidate: Interval
    calibration: Interval


def sequences(answers: Sequence[Floats], tokens: int) -> NDArray[np.float64]:
    """Pool answers.

    Args:
        answers: Margins of each, of shape (tokens of the answer,).
        tokens: Of a sequence, at least 1.

    Returns:
        Margins of shape (sequences, tokens); what is left at the end is dropped.
    """
    found: list[Floats] = []
    parts: list[Floats] = []
    for answer in answers:
        parts.append(answer)
        if sum(map(len, parts)) >= tokens:
            found.append(np.concatenate(parts)[:tokens])
            parts = []
    return np.array(found).reshape(-1, tokens)


def count_sequences(lengths: Sequence[int], tokens: int) -> int:
    """How many sequences `sequences` makes of answers of these lengths."""
    found = held = 0
    for length in lengths:
        held += length
        if held >= tokens:
            found, held = found + 1, 0
    return found


def points(
    candidate: NDArray[np.float64], honest: NDArray[np.float64], again: NDArray[np.float64]
) -> list[Point]:
    """What each number of tokens shows.

    Args:
        candidate: Margins of its sequences, of shape (sequences, tokens).
        honest: Of an honest run, with as many tokens.
        again: Of another one.
    """
    whole = candidate.shape[1]
    lengths = [*(length for length in LENGTHS if length < whole), whole]
    return [
        Point(
            length,
            auc(scores(candidate, length), scores(honest, length)),
            auc(scores(again, length), scores(honest, length)),
        )
        for length in lengths
    ]


def scores(margins: NDArray[np.float64], tokens: int) -> list[float]:
    """The mean margin of the first tokens of each sequence, in nats."""
    return [float(value) for value in margins[:, :tokens].mean(axis=1)]


def judge(area: Interval, tolerance: float) -> Verdict:
    """The verdict by the rule above.

    Args:
        area: At the largest number of tokens.
        tolerance: How far from 0.5 an area may lie that counts as alike, above 0 and below 0.5.
    """
    if not area.low <= 0.5 <= area.high:
        return "different"
    within = area.low >= 0.5 - tolerance and area.high <= 0.5 + tolerance
    return "alike" if within else "undecided"
