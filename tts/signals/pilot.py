"""What the first samples of a problem tell of how difficult it is.

Pure: votes, scores and lengths in, numbers out. The same functions read candidates while a problem
is solved, and records when a plan is fitted.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Literal

from tts.types import Score

Signal = Literal["agreement", "score"]

VOTES = ("share", "margin", "entropy", "answered", "length", "spread")
"""Of the votes and lengths of samples: see `features`."""

SCORES = ("mean_score", "best_score", "leader_score")
"""Of their scores, where there are any."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What counts of a sample.

    Attributes:
        key: Equal answers have equal keys; None where there is no answer.
        score: What the verifier said; None if none was asked.
        tokens: Its length.
    """

    key: str | None
    score: Score | None
    tokens: int


def difficulty(samples: Sequence[Glimpse], signal: Signal) -> float:
    """One number for how difficult a problem is; the easier, the larger.

    Args:
        samples: Of the problem, any number.
        signal: `agreement`: the share of all samples that give the leading answer, 0 to 1. `score`:
            their mean score, on the verifier's own scale.

    Returns:
        The signal; 0 for no samples, -inf if none has a score.
    """
    if signal == "score":
        scores = [s.score.raw for s in samples if s.score is not None]
        return fmean(scores) if scores else -math.inf
    counts = Counter(s.key for s in samples if s.key is not None)
    return max(counts.values(), default=0) / max(1, len(samples))


def names_of(signal: Signal) -> tuple[str, ...]:
    """The names of the features, in their order."""
    return VOTES if signal == "agreement" else (*VOTES, *SCORES)


def features(samples: Sequence[Glimpse], signal: Signal) -> tuple[float, ...] | None:
    """Several numbers that tell together how difficult a problem is.

    Args:
        samples: Of the problem, any number.
        signal: `agreement` for votes and lengths alone, `score` for scores as well.

    Returns:
        In the order of `names_of`; None if there is no sample, or if one lacks a score that counts.
        `share` of the samples that give the leading answer, 0 to 1; its `margin` to the second, 0
        to 1; `entropy` of the answers (nats), where a sample without one is an answer of its own;
        share of those that `answered`; logarithm of the mean `length` in tokens; `spread`, the
        standard deviation of the lengths over their mean. `mean_score` and `best_score`, and
        `leader_score`, the largest sum of the scores of an answer over the number of samples;
        probabilities where scores are that or logits, 0 to 1, and else as they are.
    """
    if not samples or (signal == "score" and any(s.score is None for s in samples)):
        return None
    n = len(samples)
    ranked = Counter(s.key for s in samples if s.key is not None).most_common()
    votes = [count for _, count in ranked]
    first, second = (*votes, 0, 0)[:2]
    shares = [count / n for count in votes] + [1 / n] * (n - sum(votes))
    entropy = -math.fsum(p * math.log(p) for p in shares)
    lengths = [max(1, s.tokens) for s in samples]
    mean = fmean(lengths)
    told = (first / n, (first - second) / n, entropy, sum(votes) / n, math.log(mean))
    found = (*told, pstdev(lengths) / mean)
    return (*found, *_scores(samples)) if signal == "score" else found


def _scores(samples: Sequence[Glimpse]) -> tuple[float, float, float]:
    sums: defaultdict[str, float] = defaultdict(float)
    values = [_value(s.score) for s in samples if s.score is not None]
    for sample, value in zip(samples, values, strict=True):
        if sample.key is not None:
            sums[sample.key] += value
    return fmean(values), max(values), max(sums.values(), default=0.0) / len(samples)


def _value(score: Score) -> float:
    return score.raw if score.scale == "reward" else score.probability
