"""Share stopping: end self-consistency when the leading answer has a large part of the votes.

Source: adaptive-consistency (Aggarwal et al. 2023), the majority criterion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tts.budget._votes import Verdict, Votes, check_count, check_inside, decided
from tts.protocols import PotView
from tts.types import Evidence, Grant, ProblemId, Stop


@dataclass(frozen=True)
class ShareStopping:
    """Grant samples in small batches until the leading answer has its share; two votes at least.

    Args:
        threshold: Stop when the leading answer's part of the votes reaches it; above 0, below 1.
        batch: Samples to grant at a time, at least 1.

    Raises:
        ConfigError: A setting lies outside its range.
    """

    threshold: float = 0.8
    batch: int = 4

    def __post_init__(self) -> None:
        check_inside("threshold", self.threshold, 0, 1, 0.8)
        check_count("batch", self.batch, 1, 4)

    def decide(self, evidence: Mapping[ProblemId, Evidence], pot: PotView) -> list[Grant | Stop]:
        """Stop the problems whose leading answer has its share; grant the others a batch."""
        return decided(evidence, self._judge)

    def _judge(self, votes: Votes) -> Verdict:
        size = len(votes.keys)
        if size < 2:
            return Verdict(False, f"two votes are needed; {votes}", self.batch)
        lead = votes.counts[0]
        reason = f"share {lead}/{size} = {lead / size:.4f} ({self.threshold:g} wanted); {votes}"
        return Verdict(lead >= self.threshold * size, reason, self.batch)
