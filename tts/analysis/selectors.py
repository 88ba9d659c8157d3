"""Selectors that look at the chain: the shortest, the one with the fewest failures, the surest.

They ask no model, and work wherever a selector does:
`SelfConsistency(n=8, selector=Shortest())`. See `tts.protocols.Selector`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tts.analysis.graph import failed_fraction
from tts.analysis.reading import Reader, thinking_part
from tts.analysis.tokens import thinking_tokens
from tts.protocols import VerifierContext
from tts.signals.answers import mean_logprob
from tts.types import Candidate, Capability, Problem
from tts.watching import Thinking


@dataclass(frozen=True)
class Shortest:
    """The shorter its thinking part, the more a candidate weighs.

    Source: Hassid et al. 2025, "Don't Overthink it. Preferring Shorter Thinking Chains for Improved
    LLM Reasoning". Lengths are tokens where all candidates tell them, and characters elsewhere.

    Attributes:
        thinking: How the model marks its thinking.
    """

    thinking: Thinking = field(default_factory=Thinking)
    requires: frozenset[Capability] = frozenset()
    asks: bool = False

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """Minus the length; -inf for a candidate without an answer."""
        counts = [thinking_tokens(c.trajectory, self.thinking) for c in candidates]
        told = [count for count in counts if count is not None]
        lengths = told if len(told) == len(candidates) else [*map(self._characters, candidates)]
        return [-n if c.answer else -math.inf for c, n in zip(candidates, lengths, strict=True)]

    def _characters(self, candidate: Candidate) -> float:
        start, end, _ = thinking_part(candidate.trajectory.text, self.thinking)
        return end - start


@dataclass(frozen=True)
class FewestFailedSteps:
    """The smaller the share of its steps that came to nothing, the more a candidate weighs.

    Source: Feng et al. 2025, "What Characterizes Effective Reasoning?"; the share is that of
    `tts.analysis.graph`, which goes by markers.

    Attributes:
        reader: Takes chains apart.
    """

    reader: Reader = field(default_factory=Reader)
    requires: frozenset[Capability] = frozenset()
    asks: bool = False

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """Minus the share, -1 to 0; -inf for a candidate without an answer."""
        return [self._one(c) if c.answer else -math.inf for c in candidates]

    def _one(self, candidate: Candidate) -> float:
        assert candidate.answer is not None
        return -failed_fraction(self.reader.read(candidate.trajectory.text, candidate.answer.text))


@dataclass(frozen=True)
class MostConfident:
    """The likelier a candidate's tokens are to its own model, the more it weighs."""

    requires: frozenset[Capability] = frozenset({Capability.LOGPROBS})
    asks: bool = False

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """Mean log-probability (nats) of the model's own tokens; -inf without an answer.

        Raises:
            VerifierError: A candidate came without log-probabilities.
        """
        return [mean_logprob(c.trajectory) if c.answer else -math.inf for c in candidates]
