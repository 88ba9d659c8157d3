"""Weighted best-of-N: sample answers and take the one with the largest sum of scores.

Source: Li et al. 2023, "Making Language Models Better Reasoners with Step-Aware Verifier"; the
middle way between majority and best-of-N. Scores are summed as probabilities, never as logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tts.protocols import Env, Selector
from tts.selectors import WeightedVote
from tts.strategies._common import check_n, sample_and_select
from tts.types import Capability, Problem, Result


@dataclass(frozen=True)
class WeightedBestOfN:
    """Score-weighted vote over `n` samples.

    Args:
        n: Most answers to sample, at least 1.
        selector: Adds up the scores of equal answers.
    """

    n: int = 8
    selector: Selector = WeightedVote()
    requires: frozenset[Capability] = frozenset({Capability.VERIFIER})
    independent: ClassVar[bool] = True  # the samples, of each other

    def __post_init__(self) -> None:
        check_n(self.n)

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Sample, score, and vote with the scores."""
        return await sample_and_select(problem, env, self.n, self.selector, scored=True)
