"""Folders of runs for tests, written record by record."""

from __future__ import annotations

import json

from tts.evaluation._log import header
from tts.evaluation.records import CandidateRecord, Record, ScoreRecord
from tts.evaluation.trees import NodeRecord, TreeRecord
from tts.reporting.contents import Lore, gather
from tts.reporting.page import page

USAGE = {"prompt_tokens": 5, "completion_tokens": 10, "calls": 1, "sequential_tokens": 10}


def candidate(answer="1", correct=True, score=None):
    raw = None if score is None else ScoreRecord(raw=score, scale="probability")
    return CandidateRecord(
        answer=answer, key=answer, correct=correct, score=raw, finish="stop", clock=10
    )


def record(problem="p0", arm="a", **changed):
    kept = {
        **{"configuration": f"hash of {arm}", "problem_id": problem, "arm": arm, "seed": 0},
        **{"status": "done", "answer": "1", "correct": True, "gold": "1", "usage": USAGE},
        **{"candidates": (candidate(),)},
    }
    return Record.model_validate(kept | changed)


def failed(problem="p0", arm="a", error="EngineDead: the engine has died"):
    changed = {"status": "failed", "answer": None, "correct": None, "candidates": ()}
    return record(problem, arm, error=error, **changed)


def tree(of, *texts):
    """The tree of a record: a chain of texts, each with a score."""
    score = ScoreRecord(raw=0.5, scale="probability")
    nodes = [
        NodeRecord(parent=i - 1, text=text, key=f"k{i}", finish="step", score=score)
        for i, text in enumerate(texts)
    ]
    return TreeRecord(
        configuration=of.configuration,
        problem_id=of.problem_id,
        repeat=of.repeat,
        nodes=tuple(nodes),
        candidates=(len(nodes) - 1,),
        chosen=len(nodes) - 1,
    )


def folder(path, *records, trees=(), finished=True, **files):
    """A folder with these records; further files by their name without its end."""
    path.mkdir(parents=True, exist_ok=True)
    for name, kept in (("results", records), ("trees", trees)):
        lines = [each.line() + b"\n" for each in kept]
        (path / f"{name}.jsonl").write_bytes(header(name) + b"".join(lines))
    arms = {each.arm: each.configuration for each in records}
    named = {"strategy_name": "s", "task": "toy", "model": "m", "backend": "b"}
    rows = [{**named, "strategy": a, "configuration": c, "series": a} for a, c in arms.items()]
    about = {"provenance": {"arms": arms}} | ({"summary": rows} if finished else {}) | files
    for name, content in about.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    return path


def silent(folder, golds, wanted):
    """Asks a task that tells nothing."""
    return Lore()


def telling(question, level=""):
    """Asks a task that tells the same of each problem."""

    def ask(folder, golds, wanted):
        return Lore(dict.fromkeys(wanted, question), dict.fromkeys(golds, level) if level else {})

    return ask


def shown(*paths, ask=silent, title="", **options):
    """The page of some folders."""
    return page(gather(paths, ask, **options), title)
