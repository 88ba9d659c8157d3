"""Saturation stopping: end a problem when one more sample adds too little.

Source: the test-time scaling performance model, TTSPM (2025). Coverage by n samples is taken to be
F (1 - (1 - p) ** n), so the next sample adds F p (1 - p) ** n. Problems are taken to be equally
hard; true coverage has a heavier tail, so the rule stops early rather than late.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log

from tts.budget._votes import Verdict, Votes, check_count, check_inside, check_share, decided
from tts.protocols import PotView
from tts.types import Evidence, Grant, ProblemId, Stop


def saturation(ceiling: float, p: float, gain: float) -> int:
    """Fewest samples after which one more adds at most `gain`: ceil(ln(gain/(F p)) / ln(1 - p)).

    Args:
        ceiling: F, the coverage that many samples reach, 0 to 1.
        p: Chance that a single sample is right, 0 to 1.
        gain: Above 0.

    Returns:
        At least 0; that many if already the first sample adds so little.
    """
    if ceiling * p <= gain:
        return 0
    return 1 if p == 1 else ceil(log(gain / (ceiling * p)) / log(1 - p))


@dataclass(frozen=True)
class SaturationStopping:
    """Grant samples until one more adds too little; at least one.

    Where `p` is not given it is estimated from the votes so far, as (lead + 1) / (samples + 2): the
    leading answer stands for the right one. Silent samples count here, as ones that are not right.

    Args:
        gain: Least that one more sample must add to the coverage; above 0 and below 1.
        ceiling: Coverage that many samples reach, 0 to 1.
        p: Chance that a single sample is right, 0 to 1; None to estimate it.
        batch: Samples to grant at a time, at least 1.

    Raises:
        ConfigError: A setting lies outside its range.
    """

    gain: float = 0.01
    ceiling: float = 1.0
    p: float | None = None
    batch: int = 4

    def __post_init__(self) -> None:
        check_inside("gain", self.gain, 0, 1, 0.01)
        check_share("ceiling", self.ceiling, 1)
        if self.p is not None:
            check_share("p", self.p, 0.3)
        check_count("batch", self.batch, 1, 4)

    def decide(self, evidence: Mapping[ProblemId, Evidence], pot: PotView) -> list[Grant | Stop]:
        """Stop the problems that are saturated; grant the others a batch."""
        return decided(evidence, self._judge)

    def _judge(self, votes: Votes) -> Verdict:
        lead = votes.counts[0] if votes.keys else 0
        p = (lead + 1) / (votes.drawn + 2) if self.p is None else self.p
        enough = max(1, saturation(self.ceiling, p, self.gain))
        word = "estimated" if self.p is None else "given"
        reason = (
            f"saturated at {enough} samples for p = {p:.3f} ({word}), {votes.drawn} drawn; {votes}"
        )
        return Verdict(votes.drawn >= enough, reason, min(self.batch, max(1, enough - votes.drawn)))
