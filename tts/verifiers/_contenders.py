"""The different answers among candidates, each with its votes and one who stands for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tts.types import Candidate


@dataclass(frozen=True)
class Contender:
    """An answer that several candidates may have given.

    Attributes:
        key: Its canonical form.
        votes: Number of candidates with it.
        candidate: The one of them with the best score, or the first one if not all have a score.
    """

    key: str
    votes: int
    candidate: Candidate


def contenders(candidates: Sequence[Candidate], most: int) -> list[Contender]:
    """The `most` answers with the most votes, best first; equal ones in the order of their keys."""
    groups: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        if candidate.answer:
            groups[candidate.answer.key].append(candidate)
    found = [Contender(key, len(group), _best(group)) for key, group in groups.items()]
    return sorted(found, key=lambda c: (-c.votes, c.key))[:most]


def _best(group: Sequence[Candidate]) -> Candidate:
    scores = [candidate.score for candidate in group]
    raws = [score.raw for score in scores if score is not None]
    return group[raws.index(max(raws))] if len(raws) == len(group) else group[0]
