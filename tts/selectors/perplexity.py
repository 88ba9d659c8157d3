"""Perplexity consistency: a vote by the model's own probabilities, without the unlikely paths.

Source: Zhou et al. 2025, "Bridging Internal Probability and Self-Consistency for Effective and
Efficient LLM Reasoning" (RPC). The theory sums probabilities of paths; like the published program,
this takes the length-normalised one, p = exp(mean log-probability of its tokens), and each distinct
path once: ten copies of one text say no more than one of how likely its answer is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tts.protocols import VerifierContext
from tts.selectors._counting import summed
from tts.signals.answers import likelihood
from tts.types import Candidate, Capability, Problem


@dataclass(frozen=True)
class PerplexityConsistency:
    """Each candidate weighs as much as the p of the distinct paths to its answer add up to.

    With `prune`, a mixture of two Weibull distributions is fitted to the p of the distinct paths.
    A path is left out if it is likelier to come from the component with the lower mean, and its p
    is below the mean of all. Where the fit would not be stable (fewer than ten paths, p that are
    nearly equal, no convergence, a component that stands for a single path) none is left out: a
    plain weighted vote. The published program fits copies too; here they are left out, as a value
    that is there twice draws the fit onto it.

    Args:
        prune: Whether unlikely paths are left out (RPC), or all vote (perplexity consistency).
    """

    prune: bool = True
    requires: frozenset[Capability] = frozenset({Capability.LOGPROBS})
    asks: bool = False

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """Sum of p over the distinct paths kept of the same answer; -inf without an answer.

        Raises:
            VerifierError: A candidate came without log-probabilities.
        """
        # The larger p of two that differ by rounding, whichever came first.
        paths: dict[str, float] = {}
        for candidate in candidates:
            if candidate.answer:
                text, p = candidate.trajectory.text, likelihood(candidate.trajectory)
                paths[text] = max(p, paths.get(text, 0.0))
        voices = _kept(paths) if self.prune else dict(paths)
        # Each text speaks once: whoever is first takes its voice out.
        weights = [voices.pop(c.trajectory.text, 0.0) if c.answer else 0.0 for c in candidates]
        return summed(candidates, weights)


def _kept(paths: dict[str, float]) -> dict[str, float]:
    """The paths that are not pruned."""
    from tts.selectors import _weibull  # late: it takes NumPy

    values = list(paths.values())
    mixture = _weibull.fit(values)
    if mixture is None:
        return dict(paths)
    mean = math.fsum(values) / len(values)
    low = mixture.in_the_lower(values)
    return {
        text: p for (text, p), bad in zip(paths.items(), low, strict=True) if not bad or p >= mean
    }
