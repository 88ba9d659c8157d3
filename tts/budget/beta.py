"""Beta stopping: end self-consistency when the majority is already safe.

Source: adaptive-consistency (Aggarwal et al. 2023), the Beta criterion. It looks at the two
leading answers only, so it ignores a third one by design; `DirichletStopping` does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb

from tts.budget._votes import Verdict, Votes, check_count, check_inside, decided
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

    Raises:
        ConfigError: A setting lies outside its range.
    """

    threshold: float = 0.95
    batch: int = 4

    def __post_init__(self) -> None:
        check_inside("threshold", self.threshold, 0.5, 1, 0.95)
        check_count("batch", self.batch, 1, 4)

    def decide(self, evidence: Mapping[ProblemId, Evidence], pot: PotView) -> list[Grant | Stop]:
        """Stop the problems whose majority is safe; grant the others a batch."""
        return decided(evidence, self._judge)

    def _judge(self, votes: Votes) -> Verdict:
        if not votes.keys:
            return Verdict(False, str(votes), self.batch)
        first, second = (*votes.counts, 0)[:2]
        safety = lead_probability(first, second)
        stop = safety >= self.threshold
        word = "is safe" if stop else "is not safe"
        reason = (
            f"lead {first}:{second} {word} at {safety:.4f} ({self.threshold:g} wanted); {votes}"
        )
        return Verdict(stop, reason, self.batch)
