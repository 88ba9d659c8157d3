"""Beta stopping: end self-consistency when the majority is already safe.

Source: adaptive-consistency (Aggarwal et al. 2023), the Beta criterion. It looks at the two
leading answers only, so it ignores a third one by design.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import comb

from tts.protocols import PotView
from tts.types import Evidence, Grant, ProblemId, Stop


def lead_probability(first: int, second: int) -> float:
    """P(x > 1/2) for x ~ Beta(first + 1, second + 1): the chance that the leader leads for good.

    Args:
        first: Votes of the leading answer, at least `second`.
        second: Votes of the runner-up, at least 0.

    Returns:
        A probability, exact up to rounding: the sum over i from 0 to `first` of
        C(first + second + 1, i), divided by 2 ** (first + second + 1).
    """
    n = first + second + 1
    return float(sum(comb(n, i) for i in range(first + 1)) / 2**n)


@dataclass(frozen=True)
class BetaStopping:
    """Grant samples in small batches until the leading answer is safe.

    Args:
        threshold: Stop when `lead_probability` reaches it; above 0.5 and below 1.
        batch: Samples to grant at a time, at least 1. The paper draws one at a time; a few side by
            side cost little and keep the engine busy.
    """

    threshold: float = 0.95
    batch: int = 4

    def __post_init__(self) -> None:
        if not 0.5 < self.threshold < 1:
            raise ValueError(f"controller.threshold is {self.threshold}; it must lie in (0.5, 1)")
        if self.batch < 1:
            raise ValueError(f"controller.batch is {self.batch}; it must be at least 1")

    def decide(self, evidence: Mapping[ProblemId, Evidence], pot: PotView) -> list[Grant | Stop]:
        """Stop the problems whose majority is safe; grant the others a batch."""
        return [self._one(problem_id, e) for problem_id, e in evidence.items()]

    def _one(self, problem_id: ProblemId, evidence: Evidence) -> Grant | Stop:
        votes = Counter(c.answer.key for c in evidence.candidates if c.answer)
        if votes:
            counts = [count for _, count in votes.most_common(2)]
            first, second = counts[0], counts[1] if len(counts) > 1 else 0
            safety = lead_probability(first, second)
            if safety >= self.threshold:
                return Stop(problem_id, f"lead {first}:{second} is safe at {safety:.4f}")
        return Grant(problem_id, min(self.batch, evidence.wants))
