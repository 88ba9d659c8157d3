"""Selectors that only count: votes and scores of a set of candidates.

They stand below strategies and verifiers because both may use them. A selector that asks a model
(a tournament, say) is a verifier's relative and lives in `tts.verifiers`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tts.errors import VerifierError
from tts.protocols import VerifierContext
from tts.types import Candidate, Capability, Problem, Score


@dataclass(frozen=True)
class Majority:
    """Each candidate weighs as much as its answer has votes."""

    requires: frozenset[Capability] = frozenset()
    asks: bool = False

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """Number of candidates with the same answer; -inf for one without."""
        return _summed(candidates, lambda _: 1.0)


@dataclass(frozen=True)
class WeightedVote:
    """Each candidate weighs as much as the scores of its answer add up to, as probabilities."""

    requires: frozenset[Capability] = frozenset({Capability.VERIFIER})
    asks: bool = False

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """Sum of probabilities of candidates with the same answer; -inf for one without.

        Raises:
            VerifierError: A candidate has no score, or one that is no probability.
        """
        return _summed(candidates, _probability)


@dataclass(frozen=True)
class BestScore:
    """Each candidate weighs as much as its own score."""

    requires: frozenset[Capability] = frozenset({Capability.VERIFIER})
    asks: bool = False

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """The raw score; -inf for a candidate without an answer.

        Raises:
            VerifierError: A candidate has no score.
        """
        return [_score(c).raw if c.answer else -math.inf for c in candidates]


def _summed(candidates: Sequence[Candidate], weight: Callable[[Candidate], float]) -> list[float]:
    totals: defaultdict[str, list[float]] = defaultdict(list)
    for candidate in candidates:
        if candidate.answer:
            totals[candidate.answer.key].append(weight(candidate))
    # fsum: the order in which samples arrive must not decide a tie by rounding.
    sums = {key: math.fsum(values) for key, values in totals.items()}
    return [sums[c.answer.key] if c.answer else -math.inf for c in candidates]


def _score(candidate: Candidate) -> Score:
    if candidate.score is None:
        raise VerifierError("A candidate has no score.", hint="Score it before the selection.")
    return candidate.score


def _probability(candidate: Candidate) -> float:
    try:
        return _score(candidate).probability
    except ValueError as error:
        raise VerifierError(
            f"A weighted vote adds probabilities, and {error}.", hint="Or use best_of_n."
        ) from error
