"""Trees: every segment once, candidates found again, keys read without the rest."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.errors import ConfigError
from tts.evaluation.records import Key
from tts.evaluation.store import RESULTS, TREES, Expected, Store, Trees, read
from tts.evaluation.trees import TreeRecord
from tts.types import Candidate, Result, Score, Segment, Trajectory

NAMES = st.text(max_size=20)


def tree(*, tokens=False, problem="p0", configuration="c"):
    """A prefix with two ends, and a branch that no candidate uses."""
    prefix = Trajectory.root().extend(
        Segment("shared ", (1, 2), "tok", (-0.5, -1.0)), child=0, clock=2
    )
    one = prefix.extend(Segment("one"), child=0, clock=3, finish="stop").scored(
        Score(0.5, "probability")
    )
    two = prefix.extend(Segment("two"), child=1, clock=4, finish="length")
    left = Trajectory.root().extend(Segment("left"), child=1, clock=1, finish="abort")
    result = Result(
        problem, None, (Candidate(one, None), Candidate(two, None)), tree=(two, one, left)
    )
    return TreeRecord.of(result, configuration, tokens=tokens)


def test_a_shared_prefix_is_written_once():
    assert [node.text for node in tree().nodes] == ["shared ", "one", "two", "left"]


def test_candidates_come_back_as_they_were():
    one, two = tree(tokens=True).trajectories()
    assert (one.text, two.text) == ("shared one", "shared two")
    assert (one.finish, two.finish, one.clock) == ("stop", "length", 3)
    assert one.score == Score(0.5, "probability")
    assert one.segments()[0].tokens == (1, 2)
    assert one.segments()[0].logprobs == (-0.5, -1.0)
    assert tree().trajectories()[0].segments()[0].tokens is None


@given(problem=NAMES, configuration=NAMES)
def test_trees_are_found_by_key(tmp_path_factory, problem, configuration):
    folder = tmp_path_factory.mktemp("trees")
    other = tree(problem=problem + "x", configuration=configuration)
    written = tree(problem=problem, configuration=configuration)
    (folder / TREES).write_text(
        '{"format": "tts.trees", "schema": 2}\n'
        + "".join(t.model_dump_json(exclude_none=True) + "\n" for t in (other, written))
    )
    trees = Trees(folder)
    assert trees[Key(configuration, problem, 0)] == written
    assert trees[Key(configuration, problem + "x", 0)] == other
    assert Key(configuration, problem, 1) not in trees


def test_a_run_that_kept_nothing_says_so(tmp_path):
    with pytest.raises(ConfigError, match="kept no texts"):
        Trees(tmp_path)


# One line of version 1, as it was written: no header, and the texts in the record.
FIRST = {
    "arm": "a", "configuration": "hash-a", "problem_id": "p0", "status": "done", "limit": "",
    "error": "", "answer": "4", "correct": True, "gold": "4", "usage": {"completion_tokens": 9},
    "candidates": [
        {"text": "2+2=4", "answer": "4", "key": "4", "correct": True,
         "score": {"raw": 0.5, "scale": "probability"}, "finish": "stop", "clock": 9},
        {"text": "hm", "answer": None, "key": None, "correct": False, "score": None,
         "finish": "length", "clock": 5},
    ],
    "decisions": [], "seed": 0, "repeat": 0, "elapsed": 1.5,
}  # fmt: skip


def test_results_of_version_1_go_on_in_the_present_version(tmp_path):
    (tmp_path / RESULTS).write_text(json.dumps(FIRST) + "\n" + '{"torn')
    (record,) = read(tmp_path / RESULTS)
    assert [c.answer for c in record.candidates] == ["4", None]
    with Store(tmp_path, {"a": Expected("hash-a", frozenset({"p0", "p1"}))}) as store:
        assert store.moved is None
        assert store.done("a") == {("p0", 0)}
        assert store.record("a", "p0") == record
    assert (tmp_path / RESULTS).read_text().startswith('{"format": "tts.results", "schema": 3}\n')
    assert list(read(tmp_path / RESULTS)) == [record]
    one, two = Trees(tmp_path)[record.file_key].trajectories()
    assert (one.text, two.text, one.score) == ("2+2=4", "hm", Score(0.5, "probability"))


def test_a_newer_version_is_refused_by_name(tmp_path):
    (tmp_path / RESULTS).write_text('{"format": "tts.results", "schema": 99}\n')
    with pytest.raises(ConfigError, match="version 99"):
        Store(tmp_path, {}).__enter__()
    with pytest.raises(ConfigError, match="version 99"):
        list(read(tmp_path / RESULTS))


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / RESULTS).write_text('{"format": "tts.trees", "schema": 2}\n')
    with pytest.raises(ConfigError, match=r"no file of results, but of tts\.trees"):
        list(read(tmp_path / RESULTS))
