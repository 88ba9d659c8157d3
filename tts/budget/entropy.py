"""Entropy stopping: end self-consistency when the votes are concentrated enough.

Source: adaptive-consistency (Aggarwal et al. 2023), the entropy criterion, as in their code: the
entropy of the votes over that of as many equally frequent answers. A lone answer is given a rival
with one vote, so that unanimity needs four votes at the default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

from tts.budget._votes import Verdict, Votes, check_count, check_inside, decided
from tts.protocols import PotView
from tts.types import Evidence, Grant, ProblemId, Stop


def normalised_entropy(counts: Sequence[int]) -> float:
    """Entropy of shares, divided by the logarithm of their number: 0 to 1.

    Args:
        counts: At least two, each above 0.
    """
    total = sum(counts)
    return -sum(count / total * log(count / total) for count in counts) / log(len(counts))


@dataclass(frozen=True)
class EntropyStopping:
    """Grant samples in small batches until the votes are concentrated.

    Args:
        threshold: Stop when `normalised_entropy` is no higher; above 0 and below 1.
        batch: Samples to grant at a time, at least 1.

    Raises:
        ConfigError: A setting lies outside its range.
    """

    threshold: float = 0.75
    batch: int = 4

    def __post_init__(self) -> None:
        check_inside("threshold", self.threshold, 0, 1, 0.75)
        check_count("batch", self.batch, 1, 4)

    def decide(self, evidence: Mapping[ProblemId, Evidence], pot: PotView) -> list[Grant | Stop]:
        """Stop the problems whose votes are concentrated; grant the others a batch."""
        return decided(evidence, self._judge)

    def _judge(self, votes: Votes) -> Verdict:
        if len(votes.keys) < 2:
            return Verdict(False, f"two votes are needed; {votes}", self.batch)
        counts = votes.counts
        entropy = normalised_entropy(counts if len(counts) > 1 else (*counts, 1))
        stop = entropy <= self.threshold
        reason = f"normalised entropy {entropy:.4f} ({self.threshold:g} wanted); {votes}"
        return Verdict(stop, reason, self.batch)
