"""The model's own confidence as a verifier: no second model, no further token.

Source: the length-normalised likelihood that perplexity consistency uses as the weight of a vote
(Zhou et al. 2025, "Bridging Internal Probability and Self-Consistency").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tts.protocols import VerifierContext
from tts.signals.answers import likelihood
from tts.types import Capability, Problem, Score, Trajectory, Usage


@dataclass(frozen=True)
class Likelihood:
    """Geometric mean of the probabilities of the model's own tokens, at temperature 1.

    That is one over the perplexity: 1 for a certain answer. Injected and forced text is left out.
    """

    requires: frozenset[Capability] = frozenset({Capability.LOGPROBS})
    partial: bool = True

    def identity(self) -> Mapping[str, Any]:
        """Its name: there is nothing to set."""
        return {"verifier": "likelihood"}

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """A call, and nothing else."""
        return Usage(verifier_calls=1)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One probability a trajectory; 0 for one without a token.

        Raises:
            VerifierError: A trajectory came without log-probabilities.
        """
        return [Score(likelihood(trajectory), "probability") for trajectory in trajectories]
