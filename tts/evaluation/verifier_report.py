"""What a verifier is worth: how it ranks, what its scores mean, and how far resampling can go.

A verifier that accepts wrong answers caps what resampling until the first acceptance can reach.
With single-sample accuracy r, true-positive rate c and false-positive rate f, the accuracy of the
first accepted answer is c r / (c r + f (1 - r)), however much is sampled. It is worked out for each
bin of difficulty, since hard problems have both fewer right answers and more false positives.
Source: Stroebl, Kapoor & Narayanan 2024, "Inference Scaling fLaws". Intervals are percentiles over
problems drawn with replacement, the threshold and the bins held fixed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tts.evaluation.estimators import Pool, best_of_k, curve
from tts.evaluation.judged import Floats, Judged
from tts.evaluation.reliability import Reliability, reliability
from tts.evaluation.statistics import Interval, bootstrap
from tts.seeds import derive

RESAMPLES = 1000
_ENOUGH = 4  # answers a problem, from which on their share of right ones tells its difficulty
_EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
_DIFFICULTIES = ("none right", "up to 25%", "25 to 50%", "50 to 75%", "over 75%", "all right")


@dataclass(frozen=True, slots=True)
class Group:
    """The problems of one level, or one difficulty.

    Attributes:
        name: Of the level or difficulty.
        problems: How many.
        answers: Of all of them.
        accuracy: Share of the answers that is right.
        true_positive: Share of the right answers that is accepted; None without a right one.
        false_positive: Share of the wrong answers that is accepted; None without a wrong one.
        ceiling: Share of the accepted answers that is right; None if none is accepted.
    """

    name: str
    problems: int
    answers: int
    accuracy: float
    true_positive: float | None
    false_positive: float | None
    ceiling: float | None


@dataclass(frozen=True)
class Report:
    """What a verifier is worth on the answers of one arm.

    Attributes:
        judged: The answers.
        threshold: From which score on an answer is accepted.
        given: Whether the threshold was given, and not chosen here (Youden's).
        accuracy: Share of the answers that is right.
        auc: Chance that a right answer scores higher than a wrong one; None with one kind only.
        within: The same within a problem, mean over those with both kinds; None if there is none.
        n_within: Problems with both kinds.
        true_positive: Share of the right answers that is accepted.
        false_positive: Share of the wrong answers that is accepted.
        ceiling: Accuracy of resampling until the first acceptance, mean over the problems of the
            bins with an acceptance; None if nothing is accepted.
        common: The same if both rates were those of all bins together.
        first: Share of right ones among a problem's own accepted answers, mean over problems.
        never: Share of the problems without any accepted answer.
        bins: By difficulty: what the ceiling is worked out from.
        levels: By the level that the task gives; empty without.
        reliability: What probabilities mean; None for scores that are none.
        selection: Accuracy of the best scored of k, by k; empty where problems differ in samples.
    """

    judged: Judged
    threshold: float
    given: bool
    accuracy: Interval
    auc: Interval | None
    within: Interval | None
    n_within: int
    true_positive: Interval | None
    false_positive: Interval | None
    ceiling: Interval | None
    common: Interval | None
    first: Interval | None
    never: float
    bins: tuple[Group, ...]
    levels: tuple[Group, ...]
    reliability: Reliability | None
    selection: Mapping[int, Interval]


def report(
    judged: Judged,
    *,
    threshold: float | None = None,
    pools: Mapping[str, Pool] | None = None,
    seed: int = 0,
) -> Report:
    """Say what a verifier is worth.

    Args:
        judged: Its scores of some answers.
        threshold: From which on an answer is accepted; None for the best by Youden's index.
        pools: What the answers are of, for the accuracy of the best of k.
        seed: Of the resampling.

    Raises:
        ConfigError: No threshold was given, and none parts right from wrong.
    """
    level = judged.youden() if threshold is None else threshold
    counts = judged.counts(level)
    labels = difficulties(judged)
    weights = _weights(len(judged.problems), seed)
    sums, shares = _by_group(counts, labels, weights)
    pooled = _Rates(*np.moveaxis(sums.sum(axis=1), -1, 0))
    ceiling, common = _ceilings(sums, shares)
    within = judged.auc_by_problem()
    first, never = _first_accepted(counts)
    return Report(
        judged,
        level,
        threshold is not None,
        accuracy=_or_nothing(pooled.accuracy) or Interval(math.nan, 0.0, 1.0),
        auc=_or_nothing(np.array([judged.auc(w) for w in weights])),
        within=bootstrap(list(within.values()), bounds=(0.0, 1.0)) if within else None,
        n_within=len(within),
        true_positive=_or_nothing(pooled.true_positive),
        false_positive=_or_nothing(pooled.false_positive),
        ceiling=_or_nothing(ceiling),
        common=_or_nothing(common),
        first=bootstrap(first, bounds=(0.0, 1.0)) if first else None,
        never=never,
        bins=groups(judged, counts, labels),
        levels=groups(judged, counts, judged.levels) if any(judged.levels) else (),
        reliability=reliability(judged.raws, judged.right) if judged.probable else None,
        selection=_selection(pools or {}),
    )


def difficulties(judged: Judged) -> tuple[str, ...]:
    """Of each problem a bin of difficulty: by its own accuracy, by level, or all in one.

    Its own accuracy takes at least four answers a problem; levels are taken where there are fewer.
    """
    if len(judged.raws) / len(judged.problems) >= _ENOUGH:
        places = np.searchsorted(_EDGES, judged.accuracies, side="left")
        places += judged.accuracies == 1.0
        return tuple(_DIFFICULTIES[place] for place in places)
    return judged.levels if any(judged.levels) else ("all",) * len(judged.problems)


def groups(judged: Judged, counts: Floats, labels: Sequence[str]) -> tuple[Group, ...]:
    """The figures of each group of problems.

    Args:
        judged: The answers.
        counts: Of `judged.counts`.
        labels: Of each problem the name of its group.
    """
    found = []
    for name in _ordered(labels):
        mine = np.array([label == name for label in labels])
        rates = _Rates(*counts[mine].sum(axis=0))
        found.append(
            Group(
                name or "none",
                int(mine.sum()),
                int(counts[mine][:, [0, 2]].sum()),
                float(rates.accuracy),
                _number(rates.true_positive),
                _number(rates.false_positive),
                _number(rates.precision),
            )
        )
    return tuple(found)


def ceiling_of(accuracy: float, true_positive: float, false_positive: float) -> float:
    """Accuracy of the first accepted answer: c r / (c r + f (1 - r)).

    Args:
        accuracy: r, of a single answer, 0 to 1.
        true_positive: c, share of the right answers that is accepted.
        false_positive: f, share of the wrong answers that is accepted.

    Returns:
        NaN if nothing is ever accepted.
    """
    hits = true_positive * accuracy
    total = hits + false_positive * (1 - accuracy)
    return hits / total if total else math.nan


@dataclass(frozen=True)
class _Rates:
    """Rates from counts of any shape: right, right and accepted, wrong, wrong and accepted."""

    right: Floats
    hits: Floats
    wrong: Floats
    alarms: Floats

    @property
    def accuracy(self) -> Floats:
        return _ratio(self.right, self.right + self.wrong)

    @property
    def true_positive(self) -> Floats:
        return _ratio(self.hits, self.right)

    @property
    def false_positive(self) -> Floats:
        return _ratio(self.alarms, self.wrong)

    @property
    def precision(self) -> Floats:
        return _ratio(self.hits, self.hits + self.alarms)


def _by_group(counts: Floats, labels: Sequence[str], weights: Floats) -> tuple[Floats, Floats]:
    """Counts of each group under each row of weights, (rows, groups, 4); and its problems."""
    names = _ordered(labels)
    member = np.array([[label == name for name in names] for label in labels], dtype=np.float64)
    sums = np.einsum("rp,pg,pk->rgk", weights, member, counts, optimize=True).astype(np.float64)
    return sums, np.asarray(weights @ member, dtype=np.float64)


def _ceilings(sums: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """By row of weights: with the rates of each group, and with those of all together."""
    rates = _Rates(*np.moveaxis(sums, -1, 0))
    pooled = _Rates(*np.moveaxis(sums.sum(axis=1, keepdims=True), -1, 0))
    # A rate of which there is no case is no obstacle where its weight is 0.
    hits = np.nan_to_num(pooled.true_positive * rates.accuracy)
    alarms = np.nan_to_num(pooled.false_positive * (1 - rates.accuracy))
    common = _ratio(hits, hits + alarms)
    return _mean(rates.precision, shares), _mean(common, shares)


def _mean(values: Floats, shares: Floats) -> Floats:
    """Mean over groups by their problems, without those of which there is no value."""
    known = np.where(np.isnan(values), 0.0, shares)
    return _ratio((np.nan_to_num(values) * known).sum(axis=1), known.sum(axis=1))


def _first_accepted(counts: Floats) -> tuple[list[float], float]:
    """The share of right ones among each problem's accepted answers; who has none."""
    accepted = counts[:, 1] + counts[:, 3]
    some = accepted > 0
    return (counts[some, 1] / accepted[some]).tolist(), float(1 - some.mean())


def _selection(pools: Mapping[str, Pool]) -> Mapping[int, Interval]:
    sizes = {len(pool.keys) for pool in pools.values()}
    if len(sizes) != 1:
        return {}
    (most,) = sizes
    ks = [1 << power for power in range(most.bit_length()) if 1 << power <= most]
    return curve(pools, sorted({*ks, most}), best_of_k)


def _weights(size: int, seed: int) -> Floats:
    """How often each problem counts: once, and in each resample; shape (1 + resamples, size)."""
    rng = np.random.default_rng(derive(seed, "verifier report"))
    draws = rng.multinomial(size, np.full(size, 1 / size), RESAMPLES)
    return np.concatenate([np.ones((1, size)), draws.astype(np.float64)])


def _or_nothing(values: Floats) -> Interval | None:
    """The first value, with percentiles of the others; None if there is no first."""
    if np.isnan(values[0]):
        return None
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return Interval(float(values[0]), float(low), float(high))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """Quotients, NaN where there is nothing to divide by."""
    top, bottom = np.asarray(top, dtype=np.float64), np.asarray(bottom, dtype=np.float64)
    found: Floats = np.divide(top, bottom, out=np.full(top.shape, math.nan), where=bottom > 0)
    return found


def _number(value: Floats) -> float | None:
    return None if np.isnan(value) else float(value)


def _ordered(labels: Sequence[str]) -> list[str]:
    """The different names: difficulties from hard to easy, levels by number or name."""
    names = set(labels)
    if names <= set(_DIFFICULTIES):
        return [name for name in _DIFFICULTIES if name in names]
    return sorted(
        names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name)
    )
