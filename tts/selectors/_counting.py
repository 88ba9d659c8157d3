"""What selectors share: votes that add up, scores that must be there, places in an order."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from tts.errors import VerifierError
from tts.types import Candidate, Score


def summed(candidates: Sequence[Candidate], weights: Sequence[float]) -> list[float]:
    """For each candidate the sum of the weights of all with its answer; -inf without an answer.

    Args:
        candidates: Who votes.
        weights: One for each; those of candidates without an answer are not looked at.
    """
    totals: defaultdict[str, list[float]] = defaultdict(list)
    for candidate, weight in zip(candidates, weights, strict=True):
        if candidate.answer:
            totals[candidate.answer.key].append(weight)
    # fsum: the order in which samples arrive must not decide a tie by rounding.
    sums = {key: math.fsum(values) for key, values in totals.items()}
    return [sums[c.answer.key] if c.answer else -math.inf for c in candidates]


def score_of(candidate: Candidate) -> Score:
    """What a verifier said of a candidate.

    Raises:
        VerifierError: None was asked.
    """
    if candidate.score is None:
        raise VerifierError("A candidate has no score.", hint="Score it before the selection.")
    return candidate.score


def places(values: Sequence[float]) -> list[tuple[int, int]]:
    """Between which places each value stands, the largest first; equal values share theirs.

    Returns:
        First and last of its places, each from 1 to n.
    """
    ordered = sorted(values, reverse=True)
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for place, value in enumerate(ordered, 1):
        first.setdefault(value, place)
        last[value] = place
    return [(first[value], last[value]) for value in values]
