"""What is kept of a run, and that reading it changes nothing."""

from __future__ import annotations

import json

import pytest

from tests.reporting.made import candidate, failed, folder, record
from tts.reporting.reading import read_run, records_of
from tts.reporting.sources import sources


def run(path):
    ((source,), _) = sources([path])
    return read_run(source)


def test_the_last_record_of_a_problem_counts(tmp_path):
    path = folder(tmp_path, failed(), record(), failed("p1"))
    (arm,) = run(path).arms
    assert {k: o.failed for k, o in arm.outcomes.items()} == {("p0", 0): False, ("p1", 0): True}
    assert [fault.problem_id for fault in arm.faults.values()] == ["p1"]


def test_a_torn_line_is_left_out(tmp_path):
    path = folder(tmp_path, record(), record("p1"))
    whole = (path / "results.jsonl").read_bytes()
    (path / "results.jsonl").write_bytes(whole[:-20])
    assert list(run(path).golds) == ["p0"]
    assert len(list(records_of(run(path).source, frozenset({"p0", "p1"})))) == 1


def test_an_unfinished_run_says_what_waits(tmp_path):
    config = {"task": {"name": "toy"}, "backend": {"_target_": "tts.backends.simulated.Backend"}}
    origin = {"arms": {"a n=2": "hash of a", "b": "hash of b"}, "config": config}
    found = run(folder(tmp_path, record(), finished=False, provenance=origin))
    assert not found.finished and found.waiting == ("b",)
    (arm,) = found.arms
    assert (arm.label, arm.names.series, arm.names.task) == ("a n=2", "a", "toy")
    assert arm.names.backend == "simulated"


@pytest.mark.parametrize("schema", [1, 2])
def test_older_schemas_are_read_and_left_as_they_are(tmp_path, schema):
    old = json.loads(record().line())
    old["problem_id"] = old.pop("id")
    del old["text"], old["asked"]
    if schema == 1:
        old["candidates"] = [{**each, "text": "1"} for each in old["candidates"]]
    head = [{"format": "tts.results", "schema": 2}] * (schema == 2)
    lines = "".join(json.dumps(each) + "\n" for each in (*head, old))
    path = folder(tmp_path)
    (path / "results.jsonl").write_text(lines)
    found = run(path)
    assert list(found.golds) == ["p0"]
    assert [r.problem_id for r in records_of(found.source, frozenset({"p0"}))] == ["p0"]
    assert (path / "results.jsonl").read_text() == lines


def test_records_of_some_problems_are_those_alone(tmp_path):
    strange = 'p"1\\ü'
    path = folder(tmp_path, record(), failed(strange), record(strange), record("p2"))
    kept = records_of(run(path).source, frozenset({strange, "p0"}))
    assert [(r.problem_id, r.failed) for r in kept] == [("p0", False), (strange, False)]


def test_scores_are_taken_of_independent_draws_alone(tmp_path):
    drawn = (candidate(score=0.9), candidate("2", False, 0.2), candidate(None, False, 0.1))
    path = folder(
        tmp_path, *(record(f"p{i}", arm, candidates=drawn) for i in (0, 1) for arm in "ab")
    )
    rows = json.loads((path / "summary.json").read_text())
    rows[0]["strategy_name"] = "best_of_n"
    (path / "summary.json").write_text(json.dumps(rows))
    first, second = run(path).arms
    assert list(first.scores.raws) == [0.9, 0.2, 0.9, 0.2] and list(first.scores.owner) == [
        0,
        0,
        1,
        1,
    ]
    assert list(first.scores.right) == [1, 0, 1, 0] and first.scores.silent == 2
    assert not second.scores.raws


def test_broken_files_beside_the_results_do_no_harm(tmp_path):
    path = folder(tmp_path, record())
    for name in ("provenance", "claims", "summary"):
        (path / f"{name}.json").write_text("{")
    found = run(path)
    assert found.provenance == {} and found.claims == () and len(found.arms) == 1
