"""The candidate that is most like the others.

Source: Lin et al. 2023, "Generating with Confidence": the confidence in a sample is its degree, the
mean of its similarities to all. It needs no log-probabilities, and no two equal answers either, so
it serves black boxes and free text. The paper's similarity comes from a model of entailment; the
one here is its lexical one, the Jaccard similarity of words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tts.protocols import VerifierContext
from tts.types import Candidate, Capability, Problem


@dataclass(frozen=True)
class Typical:
    """Each candidate weighs as much as its text is like those of all."""

    requires: frozenset[Capability] = frozenset()
    asks: bool = False

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """Mean similarity to all candidates with an answer, 0 to 1; -inf for one without."""
        from tts.signals.dispersion import degrees, similarities  # late: it takes NumPy

        answered = [c for c in candidates if c.answer]
        found = iter(degrees(similarities([c.trajectory.text for c in answered])))
        return [next(found) if c.answer else -math.inf for c in candidates]
