"""The log of a controller's decisions, read from records: `tts.budget.replay` takes them again.

Answers and scores are as the controller saw them, and stand in the records; texts do not, so a
controller that reads texts cannot be replayed from here. Where problems shared a desk and a sitting
was killed, what was in flight left no record: decisions that rested on it then differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from tts.evaluation.records import DecisionRecord, Record
from tts.types import Answer, Basis, Candidate, Evidence, Grant, Stop, Trajectory, Usage


def decisions(records: Iterable[Record]) -> Iterator[Grant | Stop]:
    """The decisions of one arm, with what they rested on.

    Args:
        records: Of all its problems, every sitting included, failed ones too.
    """
    for record in records:
        problem = f"{record.problem_id}#{record.repeat}" if record.repeat else record.problem_id
        seen: tuple[Candidate, ...] = ()
        for line in record.decisions:
            seen = (*seen[: line.kept], *_candidates(line))
            basis = _basis(line, seen, record.sitting) if line.asked else None
            if line.samples:
                yield Grant(problem, line.samples, line.reason, basis)
            else:
                yield Stop(problem, line.reason, basis)


def _candidates(line: DecisionRecord) -> Iterator[Candidate]:
    scores = line.scores or (None,) * len(line.seen)
    for key, score in zip(line.seen, scores, strict=True):
        node = Trajectory.root()
        answer = None if key is None else Answer(key, key)
        yield Candidate(node if score is None else node.scored(score.score), answer)


def _basis(line: DecisionRecord, seen: tuple[Candidate, ...], sitting: float) -> Basis:
    return Basis(
        evidence=Evidence(seen, line.wants, Usage(**line.cost)),  # type: ignore[arg-type]
        asked=line.asked,
        turn=line.turn,
        by=line.by,
        shared=line.shared,
        sitting=f"from {sitting:.6g} s",
        left={limit: math.inf if left is None else left for limit, left in line.left.items()},
        spent=None if line.spent is None else Usage(**line.spent),  # type: ignore[arg-type]
        present=line.present,
        coming=line.coming,
    )
