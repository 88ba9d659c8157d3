"""What k samples would have given, estimated from one pool of n: no run is repeated.

A pool is all samples of one problem. Each estimator is the exact mean over all subsets of size k,
save the weighted vote of a large pool. Knows neither strategies nor models; samples must be
exchangeable, which those of one tree search are not.
Sources: Chen et al. 2021, "Evaluating Large Language Models Trained on Code" (pass@k); Wang et al.
2022, "Self-Consistency" (maj@k); Lightman et al. 2023, "Let's Verify Step by Step" (best of k from
a pool). The counting for votes and ties is ours.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tts.errors import ConfigError
from tts.evaluation.statistics import Interval, bootstrap

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pool:
    """All samples of one problem.

    Attributes:
        keys: Equal answers have equal keys; None where there is no answer, which never votes.
        correct: Whether each is right; one without an answer is not.
        scores: Of each sample, higher is better; empty if nothing was scored.
    """

    keys: tuple[str | None, ...]
    correct: tuple[bool, ...]
    scores: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.keys:
            raise ConfigError("keys: a pool needs at least one sample.")
        if len(self.correct) != len(self.keys):
            raise ConfigError(f"correct: {len(self.correct)} marks for {len(self.keys)} samples.")
        if self.scores and len(self.scores) != len(self.keys):
            raise ConfigError(f"scores: {len(self.scores)} scores for {len(self.keys)} samples.")
        if any(math.isnan(score) for score in self.scores):
            raise ConfigError("scores: a score is not a number.")
        if any(c and key is None for key, c in zip(self.keys, self.correct, strict=True)):
            raise ConfigError("correct: a sample without an answer cannot be right.")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A probability, and whether all subsets were counted or some were drawn."""

    value: float
    exact: bool


def misses(n: int, k: int) -> Floats:
    """Probability that a random k-subset of n misses all of c given samples, C(n-c,k) / C(n,k).

    By the stable product of 1 - k/j over j = n-c+1 ... n: no factorial is ever formed.

    Args:
        n: Samples, at least k.
        k: Size of the subset, at least 1.

    Returns:
        Shape (n + 1,), for c = 0 ... n.

    Raises:
        ConfigError: k is not 1 to n.
    """
    _check(n, k)
    factors = np.clip(1 - k / np.arange(n, 0, -1), 0.0, None)
    return np.concatenate([[1.0], np.cumprod(factors)])


def pass_at_k(pool: Pool, k: int) -> float:
    """Unbiased probability that any of k samples is right, 1 - C(n-c,k) / C(n,k).

    Raises:
        ConfigError: k is not 1 to the size of the pool.
    """
    return float(1 - misses(len(pool.keys), k)[sum(pool.correct)])


def best_of_k(pool: Pool, k: int) -> float:
    """Probability that the sample of highest score among k is right; a tie falls to each alike.

    Samples without an answer come last. By order statistics: the best of a random k-subset is
    among the ties that follow the first i samples with probability misses(i) - misses(i + ties).

    Raises:
        ConfigError: k is not 1 to the size of the pool, or there are no scores.
    """
    missed = misses(len(pool.keys), k)
    ranks = [(key is not None, score) for key, score in zip(pool.keys, _scores(pool), strict=True)]
    total, above = 0.0, 0
    for rank, ties in sorted(Counter(ranks).items(), reverse=True):
        right = sum(c for c, r in zip(pool.correct, ranks, strict=True) if r == rank)
        total += (missed[above] - missed[above + ties]) * right / ties
        above += ties
    return float(total)


def majority_at_k(pool: Pool, k: int) -> float:
    """Probability that the most frequent answer among k samples is right.

    Ties are broken uniformly among the tied answers; without any answer the vote is wrong. Where
    equal keys were graded differently, any of them may speak for the answer.

    Exact: a random k-subset of n is n coins of bias k/n, given that k of them fall. So the votes of
    the answers are independent binomials given their sum, and for each number of votes m of a right
    answer a table over (answers tied at m, votes cast) is built one answer at a time.

    Raises:
        ConfigError: k is not 1 to the size of the pool.
    """
    from scipy.stats import binom

    n = len(pool.keys)
    _check(n, k)
    counts = Counter(pool.keys)
    abstentions = binom.pmf(np.arange(k + 1), counts.pop(None, 0), k / n)
    votes = {key: binom.pmf(np.arange(k + 1), c, k / n) for key, c in counts.items()}
    right = Counter(key for key, c in zip(pool.keys, pool.correct, strict=True) if c)
    total = 0.0
    for key, hits in right.items():
        others = [law for other, law in votes.items() if other != key]
        for m in range(1, min(k, counts[key]) + 1):
            won = _won(others, abstentions, m, k - m)
            total += float(votes[key][m]) * won * hits / counts[key]
    return float(min(1.0, total / binom.pmf(k, n, k / n)))


def weighted_majority_at_k(pool: Pool, k: int, *, draws: int = 20_000, seed: int = 0) -> Estimate:
    """Probability that the answer with the largest sum of scores among k samples is right.

    Ties are broken uniformly among the tied answers; without any answer the vote is wrong.

    Args:
        pool: With scores of at least 0 (probabilities: sums of logits would mean nothing).
        k: Size of the subset.
        draws: Subsets to draw where there are more than this many; fewer are all counted.
        seed: Of the draws.

    Raises:
        ConfigError: k is not 1 to the size of the pool, or a score is missing or negative.
    """
    n = len(pool.keys)
    _check(n, k)
    scores = np.array(_scores(pool))
    if scores.min() < 0 or not np.isfinite(scores).all():
        raise ConfigError("scores: a weighted vote adds scores of at least 0.")
    exact = math.comb(n, k) <= draws
    if exact:
        subsets = np.array(list(itertools.combinations(range(n), k)))
    else:
        shuffled = np.random.default_rng(seed).random((draws, n))
        subsets = np.argpartition(shuffled, k, axis=1)[:, :k]
    return Estimate(_weighted(pool, scores, subsets), exact)


def curve(
    pools: Mapping[str, Pool],
    ks: Iterable[int],
    estimator: Callable[[Pool, int], float],
    *,
    level: float = 0.95,
) -> dict[int, Interval]:
    """Mean of an estimator over the problems for each k, with the bootstrap over problems.

    The interval covers the choice of problems and the sampling of their pools, at each k by itself:
    the points of one curve come from the same pools, and lean the same way.

    Args:
        pools: One a problem, at least one.
        ks: Sizes of the subset.
        estimator: Such as `pass_at_k`; 0 to 1.
        level: Coverage, above 0 and below 1.

    Raises:
        ConfigError: There is no pool, or k is not 1 to the size of the smallest.
    """
    if not pools:
        raise ConfigError("pools: a curve needs at least one problem.")
    return {
        k: bootstrap([estimator(p, k) for p in pools.values()], bounds=(0.0, 1.0), level=level)
        for k in ks
    }


def _won(others: list[Floats], abstentions: Floats, m: int, left: int) -> float:
    """Probability that `left` other samples leave an answer with m votes the winner of the vote."""
    table = np.zeros((left // m + 1, left + 1))
    table[0] = abstentions[: left + 1]
    for law in others:
        grown = np.zeros_like(table)
        for fewer in range(min(m, left + 1)):
            if law[fewer]:
                grown[:, fewer:] += law[fewer] * table[:, : left + 1 - fewer]
        grown[1:, m:] += law[m] * table[:-1, : left + 1 - m] if m <= left else 0.0
        table = grown
    return float((table[:, left] / np.arange(1, len(table) + 1)).sum())


def _weighted(pool: Pool, scores: Floats, subsets: NDArray[np.int64]) -> float:
    """Mean over subsets, shape (subsets, k), of the chance that the heaviest answer is right."""
    keys = sorted({key for key in pool.keys if key is not None})
    if not keys:
        return 0.0
    voted = np.array([[own == key for key in keys] for own in pool.keys], dtype=np.float64)
    right = np.array(pool.correct) @ voted / voted.sum(0)
    drawn = np.zeros((len(subsets), len(voted)))
    np.put_along_axis(drawn, subsets, 1.0, axis=1)
    present = drawn @ voted > 0
    weight = np.where(present, drawn @ (voted * scores[:, None]), -np.inf)
    # Sums that differ by rounding alone are tied.
    best = weight.max(1, keepdims=True)
    tied = present & (weight >= best - 1e-12 * np.maximum(1.0, np.abs(best)))
    return float((tied @ right / np.maximum(tied.sum(1), 1)).mean())


def _scores(pool: Pool) -> tuple[float, ...]:
    if not pool.scores:
        raise ConfigError("scores: the pool has none.", hint="Score its samples first.")
    return pool.scores


def _check(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise ConfigError(f"k: {k} samples cannot be drawn from a pool of {n}.")
