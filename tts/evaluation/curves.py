"""What an arm would have reached with fewer of its samples: its curve in the picture.

An arm that draws n independent samples a problem holds, for every k below n, all the samples that
a run with k might have drawn: the mean over subsets is that run's expected accuracy, at k/n of the
tokens. Knows records, not texts. Arms whose samples depend on each other, or whose number was
decided by what was found, have no curve.
Source: the estimators of `tts.evaluation.estimators`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tts.budget import Fixed
from tts.evaluation.estimators import (
    Pool,
    best_of_k,
    majority_at_k,
    pass_at_k,
    weighted_majority_at_k,
)
from tts.evaluation.records import CandidateRecord, Record
from tts.evaluation.statistics import Interval, accuracy
from tts.protocols import Selector
from tts.selectors import BestScore, Majority, WeightedVote
from tts.solve import Setup

SUBSETS = 200_000
"""Subsets that a weighted vote looks at for one point, over all problems together; its standard
error is then at most 0.11 points. Where a problem has fewer than its share, all are counted."""

_PROBLEMS = 200  # among which those subsets are shared where records are looked at one by one


@runtime_checkable
class Independent(Protocol):
    """A strategy that draws whole answers which do not depend on each other, and selects one.

    Attributes:
        independent: That they do not; True.
        n: How many it draws, unless a budget or a controller stops it.
        selector: Selects.
    """

    independent: bool
    n: int
    selector: Selector


@dataclass(frozen=True)
class Curve:
    """Accuracy and coverage of an arm by the number of samples, with 95% intervals over problems.

    Attributes:
        selected: Accuracy by k: powers of two below n, and n. At n it is the run's own, with its
            luck in ties; below, ties are shared.
        covered: Part of the problems with any right sample among k: no selector can do better.
        drawn: Subsets by which a problem was judged where it has more; None if all were counted.
    """

    selected: Mapping[int, Interval]
    covered: Mapping[int, Interval]
    drawn: int | None = None

    @property
    def n(self) -> int:
        """Samples a problem."""
        return max(self.selected)


@dataclass(frozen=True)
class _Method:
    """How a selector's accuracy follows from a pool.

    Attributes:
        estimate: Accuracy at k, given a pool and the subsets that may be drawn of it.
        score: What the selector sees of a candidate; None if it looks at no scores.
    """

    estimate: Callable[[Pool, int, int], float]
    score: Callable[[CandidateRecord], float | None] | None = None


def curve_of(setup: Setup, records: Iterable[Record]) -> Curve | None:
    """The curve of an arm; None where its records do not hold one.

    They do if the strategy draws independent samples, neither controller nor budget decided how
    many, and all that the selector looks at is recorded. A single sample makes no curve.

    Args:
        setup: How the problems were solved.
        records: What came of them, all repeats; failed ones are left out.
    """
    strategy, method = setup.strategy, _method(setup)
    if method is None or not isinstance(strategy, Independent) or strategy.n < 2:
        return None
    sampled: list[_Sampled] = []
    for record in records:
        if record.failed:
            continue
        pool = _pool(record.candidates, method.score)
        if record.status != "done" or pool is None or len(pool.keys) != strategy.n:
            return None
        sampled.append(_Sampled(record.problem_id, bool(record.correct), pool))
    return _curve(sampled, strategy.n, method) if sampled else None


def chance_at(setup: Setup, record: Record, k: int) -> float | None:
    """Chance that `k` of a record's samples would have been decided rightly.

    The mean over all subsets of the samples that are there, with ties shared; so more samples than
    `k` make it less noisy, and no less true.

    Args:
        setup: How the problem was solved.
        record: What came of it.
        k: Samples that decide, at least 1.

    Returns:
        None where the record does not hold it: see `curve_of`.
    """
    method = _method(setup)
    if method is None or record.status != "done":
        return None
    pool = _pool(record.candidates, method.score)
    if pool is None or len(pool.keys) < k:
        return None
    return method.estimate(pool, k, SUBSETS // _PROBLEMS)


def _method(setup: Setup) -> _Method | None:
    """How an arm's accuracy follows from its samples; None if it does not."""
    strategy = setup.strategy
    if not isinstance(strategy, Independent) or not isinstance(setup.controller, Fixed):
        return None
    return _METHODS.get(type(strategy.selector)) if strategy.independent else None


@dataclass(frozen=True, slots=True)
class _Sampled:
    """What is needed of a record."""

    problem_id: str
    correct: bool
    pool: Pool


def _curve(sampled: Sequence[_Sampled], n: int, method: _Method) -> Curve:
    share = max(1, SUBSETS // len(sampled))
    ks = [2**power for power in range((n - 1).bit_length())]

    def means(estimate: Callable[[Pool, int], float], ks: Sequence[int]) -> dict[int, Interval]:
        return {k: _mean((s.problem_id, estimate(s.pool, k)) for s in sampled) for k in ks}

    selected = means(lambda pool, k: method.estimate(pool, k, share), ks)
    selected[n] = _mean((s.problem_id, s.correct) for s in sampled)
    drawn = method.estimate is _weighted and any(math.comb(n, k) > share for k in ks)
    return Curve(selected, means(pass_at_k, [*ks, n]), share if drawn else None)


def _mean(values: Iterable[tuple[str, float]]) -> Interval:
    """Over problems, each with all its repeats."""
    by_problem: dict[str, list[float]] = {}
    for problem, value in values:
        by_problem.setdefault(problem, []).append(value)
    interval = accuracy(by_problem)
    assert interval is not None
    return interval


def _pool(
    candidates: Sequence[CandidateRecord],
    score: Callable[[CandidateRecord], float | None] | None,
) -> Pool | None:
    """The samples of one record; None if there is none, or it lacks the score looked at."""
    scores = [score(c) for c in candidates] if score else []
    known = tuple(s for s in scores if s is not None)
    if not candidates or len(known) < len(scores):
        return None
    return Pool(tuple(c.key for c in candidates), tuple(bool(c.correct) for c in candidates), known)


def _raw(candidate: CandidateRecord) -> float | None:
    return candidate.score.raw if candidate.score else None


def _probability(candidate: CandidateRecord) -> float | None:
    return candidate.score.score.probability if candidate.score else None


def _weighted(pool: Pool, k: int, draws: int) -> float:
    return weighted_majority_at_k(pool, k, draws=draws).value


_METHODS: Mapping[type, _Method] = {
    Majority: _Method(lambda pool, k, _: majority_at_k(pool, k)),
    BestScore: _Method(lambda pool, k, _: best_of_k(pool, k), _raw),
    WeightedVote: _Method(_weighted, _probability),
}
