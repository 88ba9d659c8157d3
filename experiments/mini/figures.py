"""Figures of a model from the records of its stages: pure functions, no engine, no files.

Every figure is a mean over problems with its 95% interval (bootstrap over problems), by level and
over all levels, which weigh the same since they have equal numbers of problems.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tts.evaluation import Record
from tts.evaluation.estimators import Pool, curve, majority_at_k, pass_at_k
from tts.evaluation.laws import log_grid
from tts.evaluation.statistics import Interval, bootstrap
from tts.tasks.mini_problems import Split

Triple = tuple[float, float, float]
"""A mean and the two ends of its interval, as they are written to JSON."""
ByLevel = dict[str, Triple]
"""By level, and for all of them under 'all'."""
ALL = "all"


def place_of(problem_id: str) -> tuple[int, int, Split]:
    """Level, index and split of a problem, which its id names: ``mini-<split>-<level>-<index>``."""
    _, split, level, index = problem_id.split("-")
    return int(level), int(index), split  # type: ignore[return-value]


def triple(interval: Interval) -> Triple:
    """An interval as it is written."""
    return interval.mean, interval.low, interval.high


def mean(values: Sequence[float]) -> Triple:
    """Mean of one value a problem, each 0 to 1, with its interval."""
    return triple(bootstrap(values, bounds=(0.0, 1.0)))


def by_level(values: Mapping[str, float]) -> ByLevel:
    """Means of one value a problem, by level and over all.

    Args:
        values: By problem id, 0 to 1; levels have equal numbers of problems.
    """
    levels = sorted({place_of(name)[0] for name in values})
    found = {
        str(level): mean([v for name, v in values.items() if place_of(name)[0] == level])
        for level in levels
    }
    return found | {ALL: mean(list(values.values()))}


def pool(record: Record) -> Pool:
    """The answers of a record as the estimators want them, with scores where all have one."""
    scores = [candidate.score.raw for candidate in record.candidates if candidate.score]
    return Pool(
        tuple(candidate.key for candidate in record.candidates),
        tuple(bool(candidate.correct) for candidate in record.candidates),
        tuple(scores) if len(scores) == len(record.candidates) else (),
    )


def at_k(estimator: Callable[[Pool, int], float], k: int) -> Callable[[Record], float]:
    """An estimator of `tts.evaluation.estimators` at k samples, of a record."""
    return lambda record: estimator(pool(record), k)


def well_formed(record: Record) -> float:
    """Share of the answers that the model ended itself, with a box that holds something."""
    ended = [c.finish == "stop" and c.answer is not None for c in record.candidates]
    return sum(ended) / len(ended)


def measured(records: Sequence[Record], metric: Callable[[Record], float]) -> ByLevel:
    """A metric by level and over all.

    Args:
        records: One a problem, equally many of each level.
        metric: 0 to 1.
    """
    return by_level({record.problem_id: metric(record) for record in records})


def curves(records: Sequence[Record]) -> dict[str, dict[str, Triple]]:
    """pass@k and majority@k over all problems, for k = 1, 2, 4, ... up to the samples there are."""
    pools = {record.problem_id: pool(record) for record in records}
    ks = log_grid(min(len(each.keys) for each in pools.values()))
    return {
        name: {str(k): triple(interval) for k, interval in curve(pools, ks, estimator).items()}
        for name, estimator in (("pass", pass_at_k), ("majority", majority_at_k))
    }
