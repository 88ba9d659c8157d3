"""Runs of chains of thought for tests, written by hand."""

from __future__ import annotations

from tts.evaluation.records import CandidateRecord, Record
from tts.evaluation.store import Expected, Store
from tts.evaluation.trees import NodeRecord, TreeRecord
from tts.types import Usage

USAGE = Usage(completion_tokens=10, calls=1).as_dict()


def record(problem, answers, *, gold="66", arm="votes", status="done"):
    """A problem with a candidate an answer."""
    found = tuple(
        CandidateRecord(answer=a, key=a, correct=a == gold, score=None, finish="stop", clock=100)
        for a in answers
    )
    return Record(
        configuration=arm, problem_id=problem, arm=arm, status=status, gold=gold, usage=USAGE,
        candidates=found, answer=answers[0], correct=answers[0] == gold, seed=0,
    )  # fmt: skip


def tree(problem, texts, *, arm="votes", tokens=None, places=None):
    """The chains of a problem, `tokens` tokens each if they were kept; clocks are a batch late."""
    nodes = tuple(
        NodeRecord(
            text=text,
            key=str(number),
            finish="stop",
            clock=2 * len(text) + 1000 * (number > 0),
            tokens=None if tokens is None else tuple(range(tokens)),
        )
        for number, text in enumerate(texts)
    )
    candidates = tuple(range(len(texts))) if places is None else places
    return TreeRecord(configuration=arm, problem_id=problem, nodes=nodes, candidates=candidates)


def written(folder, pairs):
    """A folder with these records and trees; a tree may be None."""
    arms = {}
    for each, _ in pairs:
        arms.setdefault(each.arm, set()).add(each.problem_id)
    expected = {arm: Expected(arm, frozenset(problems)) for arm, problems in arms.items()}
    with Store(folder, expected) as store:
        for pair in pairs:
            store.append(*pair)
    return folder
