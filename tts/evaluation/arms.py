"""What finished arms offer to a plan: each method, at each number of samples that its records hold.

Knows records. Samples are taken in the order in which they were drawn, as the pilot's are the first
ones; nothing is averaged over subsets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from tts.evaluation._options import Option
from tts.evaluation.estimators import Pool, weighted_majority_at_k
from tts.evaluation.playing import best_of, majority_of
from tts.evaluation.records import CandidateRecord, Record
from tts.signals.pilot import Glimpse, Signal
from tts.types import ProblemId

Vote = Callable[[Pool, int], float]


@dataclass(frozen=True)
class Tried:
    """A finished arm.

    Attributes:
        label: Of the arm.
        strategy: `_target_` and settings.
        records: All of it; failed ones are left out.
        fixed: Whether neither controller nor budget decided how many samples there are.
    """

    label: str
    strategy: Mapping[str, Any]
    records: Sequence[Record]
    fixed: bool = True


def pilots(tried: Iterable[Tried], pilot: int, signal: Signal) -> dict[ProblemId, list[Glimpse]]:
    """The first samples of an arm, for each problem.

    Taken of the first arm that holds enough of them for every problem; empty if none does.

    Args:
        tried: The arms.
        pilot: Samples.
        signal: What is to be read of them; `score` takes samples that have one.
    """
    for arm in _longest(tried):
        heads = {r.problem_id: r.candidates[:pilot] for r in arm.records if not r.repeat}
        whole = all(len(head) == pilot for head in heads.values())
        judged = all(c.score for head in heads.values() for c in head)
        if _independent(arm) and heads and whole and (signal == "agreement" or judged):
            return {name: [_glimpse(c) for c in head] for name, head in heads.items()}
    return {}


def options(tried: Iterable[Tried], pilot: int) -> tuple[list[Option], list[Option]]:
    """All methods at all numbers of samples.

    Returns:
        Those behind a pilot, and those alone. A method that draws whole answers has the pilot's for
        its first, and so no fewer than these; any other pays the pilot in addition.
    """
    tried = _longest(tried)
    each = _sample_costs(tried)
    behind, alone = [], []
    for arm in tried:
        if (method := _independent(arm)) is None:
            right = _mean(arm.records, lambda r: float(bool(r.correct)))
            costs = _mean(arm.records, lambda r: float(r.usage["completion_tokens"]))
            alone.append(Option(arm.label, arm.strategy, right, costs))
            paid = {name: cost + pilot * each.get(name, cost) for name, cost in costs.items()}
            behind.append(Option(arm.label, arm.strategy, right, paid))
            continue
        most = min(len(r.candidates) for r in arm.records)
        for k in _numbers(most, pilot):
            right = _mean(arm.records, _rightness(method, k))
            costs = _mean(arm.records, _cost_of(k))
            node = {**arm.strategy, "n": k}
            alone.append(Option(f"{_name(arm)} n={k}", node, right, costs))
            if k >= pilot:
                behind.append(alone[-1])
    return behind, alone


def _numbers(most: int, pilot: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, ... up to `most`; that itself, and the pilot's number."""
    doubles = [2**i for i in range(most.bit_length())]
    found = {*doubles, *(k + k // 2 for k in doubles), pilot, most}
    return sorted(k for k in found if k <= most)


def _longest(tried: Iterable[Tried]) -> list[Tried]:
    """Without arms that draw what another one draws, and fewer; without failed problems."""
    kept: dict[str, Tried] = {}
    for arm in tried:
        valid = [r for r in arm.records if not r.failed]
        node = {**arm.strategy, "n": 0} if _independent(arm) else {**arm.strategy, "": arm.label}
        rival = kept.get(key := json.dumps(node, sort_keys=True))
        if valid and (rival is None or len(valid[0].candidates) > len(rival.records[0].candidates)):
            kept[key] = replace(arm, records=valid)
    return list(kept.values())


def _name(arm: Tried) -> str:
    return arm.label.partition(" n=")[0]


def _independent(arm: Tried) -> Vote | None:
    """How an arm chooses among independent samples, of which all problems have as many."""
    return _method(arm) if arm.fixed else None


def _method(arm: Tried) -> Vote | None:
    """How an arm chooses among independent samples; None if it does otherwise."""
    return _VOTES.get(str(arm.strategy.get("_target_", "")).rpartition(".")[2])


def _weighted(pool: Pool, k: int) -> float:
    return weighted_majority_at_k(_head(pool, k), k).value


def _head(pool: Pool, k: int) -> Pool:
    return Pool(pool.keys[:k], pool.correct[:k], pool.scores[:k])


_VOTES: Mapping[str, Vote] = {
    "SelfConsistency": majority_of,
    "BestOfN": best_of,
    "WeightedBestOfN": _weighted,
}


def _mean(records: Iterable[Record], of: Callable[[Record], float]) -> dict[ProblemId, float]:
    """Mean over repeats."""
    found: dict[ProblemId, list[float]] = {}
    for record in records:
        found.setdefault(record.problem_id, []).append(of(record))
    return {name: fmean(values) for name, values in found.items()}


def _cost_of(k: int) -> Callable[[Record], float]:
    return lambda r: float(r.usage["completion_tokens"]) * k / max(1, len(r.candidates))


def _rightness(method: Vote, k: int) -> Callable[[Record], float]:
    return lambda r: method(_pool(r.candidates), k)


def _pool(candidates: Sequence[CandidateRecord]) -> Pool:
    scores = tuple(c.score.score for c in candidates if c.score)
    bounded = all(s.scale != "reward" for s in scores)
    return Pool(
        tuple(c.key for c in candidates),
        tuple(bool(c.correct) for c in candidates),
        tuple(s.probability if bounded else s.raw for s in scores)
        if len(scores) == len(candidates)
        else (),
    )


def _sample_costs(tried: Iterable[Tried]) -> dict[ProblemId, float]:
    """Mean cost of one whole answer to each problem."""
    return _mean([r for arm in tried if _independent(arm) for r in arm.records], _cost_of(1))


def _glimpse(candidate: CandidateRecord) -> Glimpse:
    """What counts of a sample; as they are independent, each is known when it is written."""
    score = candidate.score.score if candidate.score else None
    return Glimpse(candidate.key, score, candidate.clock)
