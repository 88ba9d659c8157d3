"""What one more sample of a problem is worth: pure arithmetic on votes and on scores.

Knows neither problems nor pots. Votes: answers of a problem are drawn from an urn (Ewens 1972) of
concentration `a`, and an answer that is drawn with probability p is taken to be right with
probability p, as a calibrated model's would be. So the vote for the leader is worth its expected
share, and more samples are worth the expected rise of the largest share: nothing where the lead is
safe, and next to nothing where all answers differ, as each of them is unlikely. Concentrations
differ by problem; how many problems have which is fitted to the batch (empirical Bayes).

One sample alone can seldom turn a lead of two, so the gain of m samples is divided by m and the
best m counts: KG(*) of Frazier & Powell 2010, "Paradoxes in Learning and the Marginal Value of
Information". The knowledge gradient for votes is of Chen, Lin & Zhou 2013, "Optimistic Knowledge
Gradient Policy for Optimal Budget Allocation in Crowdsourcing"; the greedy view of a batch, of
Damani et al. 2024, "Learning How Hard to Think". The urn and its use here are ours.

Scores: those of a problem are normal around a mean of its own (logits of probabilities), and the
means are normal over the batch; the gain is the expected improvement of the best score.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, fmean, variance

HORIZON = (1, 2, 3, 4, 6, 8, 12, 16, 24)
"""How many samples ahead the gain of a vote is looked at."""

CONCENTRATIONS = tuple(2.0**k for k in range(-4, 8))
"""Concentrations of urns, from 1/16 (all samples agree) to 128 (all differ)."""

_ROUNDS = 20  # of expectation and maximisation
_EDGE = 1e-4  # probabilities nearer to 0 or 1 are not told apart
_POINTS = [NormalDist().inv_cdf((i + 0.5) / 33) for i in range(33)]


@dataclass(frozen=True)
class Urns:
    """How many problems of a batch have which concentration.

    Attributes:
        weights: Of each of `CONCENTRATIONS`; they add up to 1.
    """

    weights: tuple[float, ...]

    @classmethod
    def fitted(cls, seen: Sequence[tuple[int, int]]) -> Urns:
        """Fit them by maximum likelihood, with one problem's worth of a flat prior.

        Args:
            seen: Of each problem the number of votes and of different answers among them, which is
                all that an urn's concentration depends on.
        """
        counts = Counter(pair for pair in seen if pair[0] > 1)
        size = len(CONCENTRATIONS)
        laws = [(times, _likelihood(*pair)) for pair, times in counts.items()]
        weights = [1 / size] * size
        for _ in range(_ROUNDS if laws else 0):
            found = [1 / size] * size
            for times, law in laws:
                joint = [w * p for w, p in zip(weights, law, strict=True)]
                whole = sum(joint)
                found = [f + times * j / whole for f, j in zip(found, joint, strict=True)]
            total = sum(found)
            weights = [f / total for f in found]
        return cls(tuple(weights))

    def concentration(self, votes: int, kinds: int) -> float:
        """The one of `CONCENTRATIONS` that is nearest to what a problem's is expected to be.

        Args:
            votes: Of the problem, at least 0.
            kinds: Different answers among them, at most `votes`.
        """
        joint = [w * p for w, p in zip(self.weights, _likelihood(votes, kinds), strict=True)]
        logs = sum(j * math.log(a) for j, a in zip(joint, CONCENTRATIONS, strict=True)) / sum(joint)
        return min(CONCENTRATIONS, key=lambda a: abs(math.log(a) - logs))


@lru_cache(maxsize=1 << 14)
def _likelihood(votes: int, kinds: int) -> tuple[float, ...]:
    """Ewens' law of so many kinds among so many votes, by concentration; the largest is 1."""
    logs = [kinds * math.log(a) - _rise(a, votes) for a in CONCENTRATIONS]
    top = max(logs)
    return tuple(math.exp(value - top) for value in logs)


@lru_cache(maxsize=1 << 16)
def gain_of_vote(votes: tuple[int, ...], silent: int, concentration: float) -> float:
    """What one more sample adds to the chance that the leading answer is right.

    Args:
        votes: Of each answer, the most frequent first, each at least 1.
        silent: Samples without an answer.
        concentration: Of the urn, above 0.

    Returns:
        Right answers a sample, 0 to 1; the best rate of all of `HORIZON`. Answers that could
        overtake the leader are added up, so it is an upper bound where there are many of them.
    """
    mass = sum(votes) + silent + concentration
    if not votes:
        return concentration / mass / (mass + 1)
    lead, *others = votes
    # An answer that nobody has given yet: what falls on new ones may agree with itself.
    rivals = [(float(c), c, times) for c, times in Counter(others).items()]
    rivals.append((concentration / (1 + concentration), 0, 1))
    return max(
        sum(times * _overtaken(lead, count, weight, mass, m) for weight, count, times in rivals) / m
        for m in HORIZON
    )


@lru_cache(maxsize=1 << 18)
def _overtaken(lead: int, count: int, weight: float, mass: float, draws: int) -> float:
    """By how much a rival's share is expected to be above the leader's after `draws` more."""
    if count + draws <= lead:
        return 0.0
    pair = lead + weight
    fall = sum(
        _beta_binomial(t, draws, pair, mass - pair) * _swing(lead, count, weight, t)
        for t in range(lead - count, draws + 1)
    )
    return fall / (mass + draws)


@lru_cache(maxsize=1 << 16)
def _swing(lead: int, count: int, weight: float, draws: int) -> float:
    """Expected votes of a rival above the leader's when so many more fall on the two of them."""
    gap = lead - count
    return sum(
        _beta_binomial(j, draws, weight, lead) * (2 * j - draws - gap)
        for j in range((draws + gap) // 2 + 1, draws + 1)
    )


def _beta_binomial(hits: int, draws: int, for_: float, against: float) -> float:
    """P(hits among draws) from an urn with these weights for and against."""
    log = _rise(for_, hits) + _rise(against, draws - hits) - _rise(for_ + against, draws)
    return math.comb(draws, hits) * math.exp(log)


def _rise(start: float, steps: int) -> float:
    """The logarithm of start (start + 1) ... (start + steps - 1)."""
    return math.lgamma(start + steps) - math.lgamma(start)


@dataclass(frozen=True)
class Scores:
    """How the scores of a batch are spread.

    Attributes:
        mean: Of the problems' means, on the scale of `_inner`.
        between: Variance of the means over problems.
        within: Variance of the scores of one problem.
        bounded: Whether scores are probabilities; rewards on a scale of their own otherwise.
    """

    mean: float
    between: float
    within: float
    bounded: bool

    @classmethod
    def fitted(cls, scores: Sequence[Sequence[float]], *, bounded: bool) -> Scores:
        """Fit them by moments.

        Args:
            scores: Of each problem, at least one for each of at least one problem.
            bounded: Whether they are probabilities.
        """
        inner = [[_inner(s, bounded) for s in each] for each in scores]
        means = [fmean(each) for each in inner]
        spread = [(len(each) - 1, variance(each)) for each in inner if len(each) > 1]
        degrees = sum(d for d, _ in spread)
        within = sum(d * v for d, v in spread) / degrees if degrees else 1.0
        within = max(within, 1e-6)
        between = within
        if len(means) > 1:
            noise = within * fmean(1 / len(each) for each in inner)
            between = max(variance(means) - noise, 0.0)
        return cls(fmean(means), between, within, bounded)

    def gain(self, scores: Sequence[float]) -> float:
        """By how much one more sample is expected to raise the best score of a problem.

        Args:
            scores: Of the problem, at least one.
        """
        shrink = self.between / (self.between + self.within / len(scores))
        own = fmean(_inner(s, self.bounded) for s in scores)
        mean = self.mean + shrink * (own - self.mean)
        deviation = math.sqrt(self.within + shrink * self.within / len(scores))
        best = max(scores)
        return fmean(
            max(0.0, _outer(mean + deviation * point, self.bounded) - best) for point in _POINTS
        )


def _inner(score: float, bounded: bool) -> float:
    if not bounded:
        return score
    p = min(max(score, _EDGE), 1 - _EDGE)
    return math.log(p / (1 - p))


def _outer(value: float, bounded: bool) -> float:
    return 1 / (1 + math.exp(-value)) if bounded else value
