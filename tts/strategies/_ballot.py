"""Who votes, and with what weight, among answers of known confidence.

Pure. Knows neither how answers are drawn nor what their confidence is made of.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from tts.signals.windows import percentile
from tts.types import Candidate


@dataclass(frozen=True, slots=True)
class Trace:
    """An answer that was drawn to its end.

    Attributes:
        number: Of the draw, from 0.
        candidate: The answer.
        confidence: In it, at least 0.
    """

    number: int
    candidate: Candidate
    confidence: float


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote of the confident.

    Attributes:
        traces: All that there is.
        first: The threshold is set by those with numbers below this one.
        keep: Share of them that is above it, above 0 and at most 1.
        weighted: Whether votes weigh as much as the confidence, or all the same.
    """

    traces: tuple[Trace, ...]
    first: int
    keep: float
    weighted: bool

    @property
    def threshold(self) -> float:
        """Least confidence of those that vote; -inf if none of the first has a result."""
        known = [t.confidence for t in self.traces if t.number < self.first and t.candidate.answer]
        return percentile(known, 1 - self.keep) if known else -math.inf

    @property
    def votes(self) -> dict[Candidate, float]:
        """Those that vote, by number, with their weights."""
        threshold = self.threshold
        return {
            trace.candidate: trace.confidence if self.weighted else 1.0
            for trace in sorted(self.traces, key=lambda trace: trace.number)
            if trace.candidate.answer and trace.confidence >= threshold
        }

    @property
    def consensus(self) -> float:
        """Share of the votes that the leading answer has, 0 to 1; 0 without votes."""
        weights: defaultdict[str, list[float]] = defaultdict(list)
        for candidate, weight in self.votes.items():
            if candidate.answer:
                weights[candidate.answer.key].append(weight)
        sums = [math.fsum(each) for each in weights.values()]
        total = math.fsum(sums)
        return max(sums) / total if total > 0 else 0.0
