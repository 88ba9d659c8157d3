"""Complete lines only, each problem once, and no two runs in one file."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.errors import ConfigError
from tts.evaluation.records import Key, Record
from tts.evaluation.store import RESULTS, SUMMARY, Expected, Store, Trees, read

HEADER = b'{"format": "tts.results", "schema": 3}\n'
ARMS = {"a": Expected("hash-a", frozenset({"p0", "p1", "p2"}))}


def record(
    problem="p0", *, repeat=0, configuration="hash-a", status="done", correct=True, **fields
):
    return Record(
        arm="a",
        repeat=repeat,
        **fields,
        configuration=configuration,
        problem_id=problem,
        status=status,
        correct=None if status == "failed" else correct,
        gold="1 ½\n",
        usage={},
        seed=0,
    )


def filled(folder, *records, arms=ARMS):
    with Store(folder, arms) as store:
        for each in records:
            store.append(each)
    return folder / RESULTS


def test_what_is_written_is_read(tmp_path):
    records = [record(f"p{i}") for i in range(3)]
    assert list(read(filled(tmp_path, *records))) == records


@given(cut=st.integers(1, 2000))
@settings(deadline=None, max_examples=60)
def test_a_kill_at_any_byte_leaves_complete_lines(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("store")
    path = filled(folder, *(record(f"p{i}") for i in range(3)))
    whole = path.read_bytes()
    kept = whole[: max(0, len(whole) - cut)]
    path.write_bytes(kept)
    complete = max(0, kept.count(b"\n") - 1)  # but for the header
    assert len(list(read(path))) == complete
    with Store(folder, ARMS) as store:
        assert store.done("a") == {(f"p{i}", 0) for i in range(complete)}
        store.append(record("p2"))
    assert path.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1])
    assert len(list(read(path))) == complete + 1


def test_a_torn_line_longer_than_a_page_is_cut(tmp_path):
    path = filled(tmp_path, record())
    path.write_bytes(path.read_bytes() + b"x" * 200_000)
    filled(tmp_path)
    assert len(list(read(path))) == 1
    path.write_bytes(b"x" * 200_000)
    filled(tmp_path)
    assert path.read_bytes() == HEADER


def test_a_failed_problem_is_not_done_and_its_last_line_counts(tmp_path):
    filled(tmp_path, record(status="failed"))
    with Store(tmp_path, ARMS) as store:
        assert store.done("a") == set()
        store.append(record())
    with Store(tmp_path, ARMS) as store:
        assert store.done("a") == {("p0", 0)}
        assert len(store.outcomes("a")) == 1
        assert store.record("a", "p0") == record()


def test_one_process_at_a_time(tmp_path):
    with Store(tmp_path, ARMS), pytest.raises(ConfigError, match="Another run is writing"):
        Store(tmp_path, ARMS).__enter__()
    filled(tmp_path)


def test_another_configuration_is_moved_aside(tmp_path):
    filled(tmp_path, record())
    (tmp_path / SUMMARY).write_text("[]")
    other = {"a": Expected("hash-b", ARMS["a"].problems)}
    with Store(tmp_path, other) as store:
        assert store.outcomes("a") == []
        assert store.moved == tmp_path / "earlier" / "1"
    assert len(list(read(tmp_path / "earlier" / "1" / RESULTS))) == 1
    assert not (tmp_path / SUMMARY).exists()
    filled(tmp_path, record("p1"), arms=ARMS)
    with Store(tmp_path, other) as store:
        assert store.moved == tmp_path / "earlier" / "2"


def test_other_problems_are_another_run(tmp_path):
    filled(tmp_path, record())
    with Store(tmp_path, {"a": Expected("hash-a", frozenset({"p9"}))}) as store:
        assert store.moved


def test_an_arm_may_be_given_another_name(tmp_path):
    filled(tmp_path, record())
    with Store(tmp_path, {"b": ARMS["a"]}) as store:
        assert store.moved is None
        assert store.done("b") == {("p0", 0)}


def test_repeats_are_filed_apart_and_raising_them_goes_on(tmp_path):
    def repeated(times):
        return {"a": Expected("hash-a", frozenset({"p0"}), times)}

    filled(tmp_path, record(), arms=repeated(1))
    (tmp_path / SUMMARY).write_text("[]")
    with Store(tmp_path, repeated(2)) as store:
        assert (store.moved, store.continued) == (None, 1)
        store.append(record(repeat=1, correct=False))
        assert store.done("a") == {("p0", 0), ("p0", 1)}
        assert store.record("a", "p0", 1).correct is False
    with Store(tmp_path, repeated(1)) as store:
        assert store.done("a") == {("p0", 0)}


def test_a_finished_run_starts_again_and_an_unfinished_one_goes_on(tmp_path):
    filled(tmp_path, record("p0"), record("p1"))
    with Store(tmp_path, ARMS) as store:
        assert (store.moved, store.continued) == (None, 2)
        store.append(record("p2"))
    # All problems are there, but the run was killed before its summary.
    with Store(tmp_path, ARMS) as store:
        assert (store.moved, store.continued) == (None, 3)
    (tmp_path / SUMMARY).write_text("[]")
    with Store(tmp_path, ARMS) as store:
        assert store.moved
        assert store.continued == 0


def test_a_finished_run_with_failures_goes_on(tmp_path):
    filled(tmp_path, record("p0"), record("p1"), record("p2", status="failed"))
    (tmp_path / SUMMARY).write_text("[]")
    with Store(tmp_path, ARMS) as store:
        assert (store.moved, store.continued) == (None, 2)
    assert not (tmp_path / SUMMARY).exists()


def test_a_line_of_something_else_is_refused(tmp_path):
    (tmp_path / RESULTS).write_text('{"foo": 1}\n')
    with pytest.raises(ConfigError, match=r"Line 1 of .* is no record"):
        Store(tmp_path, ARMS).__enter__()
    assert (tmp_path / RESULTS).read_text() == '{"foo": 1}\n'


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    real = os.write
    with Store(tmp_path, ARMS) as store:
        store.append(record("p0"))
        monkeypatch.setattr(os, "write", lambda file, data: real(file, data[: len(data) // 2]))
        with pytest.raises(OSError, match="No space left"):
            store.append(record("p1"))
        monkeypatch.undo()
        store.append(record("p1"))
    assert [r.problem_id for r in read(tmp_path / RESULTS)] == ["p0", "p1"]


def test_a_folder_that_cannot_be_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written to"):
        Store(tmp_path / "file" / "folder", ARMS).__enter__()


# --- folders that last --------------------------------------------------------------------------


def test_a_lasting_folder_goes_on_when_it_is_finished(tmp_path):
    few = {"a": Expected("hash-a", frozenset({"p0"}))}
    with Store(tmp_path, few, lasting=True) as store:
        store.append(record("p0"))
    (tmp_path / SUMMARY).write_text("[]")
    with Store(tmp_path, ARMS, lasting=True) as store:
        assert (store.moved, store.continued) == (None, 1)
        store.append(record("p1"))
    with Store(tmp_path, few, lasting=True) as store:
        assert store.moved is None
        assert [o.problem_id for o in store.outcomes("a")] == ["p0"], "p1 is not asked any more"
    assert len(list(read(tmp_path / RESULTS))) == 2


def test_a_lasting_folder_of_another_configuration_is_refused_and_left_alone(tmp_path):
    path = filled(tmp_path, record())
    before = path.read_bytes()
    other = {"a": Expected("hash-b", ARMS["a"].problems)}
    for _ in range(2):  # the first refusal has unlocked it
        with pytest.raises(ConfigError, match="holds results of another configuration"):
            Store(tmp_path, other, lasting=True).__enter__()
    assert path.read_bytes() == before and not (tmp_path / "earlier").exists()
    filled(tmp_path, record("p1"))


def test_the_summary_of_a_sweep_is_no_place_for_a_lasting_folder(tmp_path):
    (tmp_path / SUMMARY).write_text("[]")
    with pytest.raises(ConfigError, match="another configuration"):
        Store(tmp_path, ARMS, lasting=True).__enter__()
    assert (tmp_path / SUMMARY).read_text() == "[]"


def test_the_size_is_that_of_both_files(tmp_path):
    with Store(tmp_path, ARMS) as store:
        for number in range(3):
            store.append(record(f"p{number}"))
            assert store.size == sum(path.stat().st_size for path in tmp_path.iterdir())
        store.sync()


def test_what_was_spent_counts_failed_attempts_too(tmp_path):
    def costly(**how):
        return record(**how).model_copy(update={"usage": {"completion_tokens": 7}})

    with Store(tmp_path, ARMS) as store:
        store.append(costly(status="failed"))
        store.append(costly())
        assert store.spent("a").completion_tokens == 14
    with Store(tmp_path, ARMS, lasting=True) as store:
        assert store.spent("a").completion_tokens == 14


def test_folders_of_version_2_are_brought_to_the_present_with_their_trees(tmp_path):
    old = record("p0").model_dump()
    old = {("problem_id" if k == "id" else k): v for k, v in old.items()}
    about = {"configuration": "hash-a", "problem_id": "p0", "repeat": 0}
    tree = {**about, "nodes": [{"text": "so 1", "finish": "stop", "clock": 3}], "candidates": [0]}
    for kind, line in (("results", {**about, **old}), ("trees", tree)):
        head = {"format": f"tts.{kind}", "schema": 2}
        text = f"{json.dumps(head)}\n{json.dumps(line)}\n"
        (tmp_path / f"{kind}.jsonl").write_text(text + text[:9] * (kind == "results"))
    assert [each.problem_id for each in read(tmp_path / RESULTS)] == ["p0"], "read as it is"
    with Store(tmp_path, ARMS, lasting=True) as store:
        assert store.done("a") == {("p0", 0)}
        store.append(record("p1"))
    assert (tmp_path / RESULTS).read_bytes().startswith(HEADER)
    assert [each.problem_id for each in read(tmp_path / RESULTS)] == ["p0", "p1"]
    (found,) = Trees(tmp_path)[Key("hash-a", "p0", 0)].trajectories()
    assert found.text == "so 1"
    assert not list(tmp_path.glob("*.part"))
