"""Votes and scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tts.errors import VerifierError
from tts.protocols import VerifierContext
from tts.selectors._counting import score_of, summed
from tts.types import Candidate, Capability, Problem


@dataclass(frozen=True)
class Majority:
    """Each candidate weighs as much as its answer has votes."""

    requires: frozenset[Capability] = frozenset()
    asks: bool = False

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """Number of candidates with the same answer; -inf for one without."""
        return summed(candidates, [1.0] * len(candidates))


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
        return summed(candidates, [_probability(c) if c.answer else 0.0 for c in candidates])


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
        return [score_of(c).raw if c.answer else -math.inf for c in candidates]


def _probability(candidate: Candidate) -> float:
    try:
        return score_of(candidate).probability
    except ValueError as error:
        raise VerifierError(
            f"A weighted vote adds probabilities, and {error}.",
            hint="Or use best_of_n, or selector=borda with by=score.",
        ) from error
