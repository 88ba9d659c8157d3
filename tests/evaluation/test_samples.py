"""Samples made elsewhere or in a run: read, or refused by name."""

from __future__ import annotations

import json

import pytest

import tts
from tts.errors import ConfigError
from tts.evaluation import Arm, Names, Store, evaluate
from tts.evaluation.samples import read_run, read_texts
from tts.evaluation.store import RESULTS
from tts.solve import Setup
from tts.testing import LengthVerifier, World

ROW = {"id": "a", "prompt": "1+1=", "answer": 2, "samples": ["\\boxed{2}", "hm"], "scores": [1, 0]}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    return path


def test_a_file_of_texts_is_read(tmp_path):
    (one,) = read_texts(write(tmp_path / "s.jsonl", ROW))
    assert (one.problem.id, one.problem.prompt, one.gold) == ("a", "1+1=", "2")
    assert [t.text for t in one.trajectories] == ROW["samples"]
    assert [t.score.raw for t in one.trajectories] == [1.0, 0.0]
    assert {t.score.scale for t in one.trajectories} == {"probability"}


def test_scores_beyond_one_are_rewards(tmp_path):
    other = {**ROW, "id": "b", "scores": [-3.5, 2]}
    found = read_texts(write(tmp_path / "s.jsonl", ROW, other))
    assert {t.score.scale for s in found for t in s.trajectories} == {"reward"}


def test_fields_may_be_called_otherwise(tmp_path):
    row = {"task_id": 7, "q": "?", "gold": "x", "completions": ["x"]}
    names = {"id": "task_id", "prompt": "q", "answer": "gold", "samples": "completions"}
    (one,) = read_texts(write(tmp_path / "s.jsonl", row), names)
    assert (one.problem.id, one.gold) == ("7", "x")


def without(field):
    return {k: v for k, v in ROW.items() if k != field}


@pytest.mark.parametrize(
    ("rows", "sentence", "hint"),
    [
        ([without("id")], "line 1 has no field 'id'; there are: prompt", "add one to each line"),
        ([{**without("id"), "ids": 3}], "has no field 'id'", "--field id=ids"),
        (
            [{**without("samples"), "sample": []}],
            "has no field 'samples'",
            "--field samples=sample",
        ),
        ([ROW, ROW], "the id 'a' occurs twice", "all its samples in one line"),
        ([{**ROW, "samples": "text"}], "'samples' must be a list of texts", ""),
        ([{**ROW, "samples": []}], "'samples' must be a list of texts", ""),
        ([{**ROW, "scores": [1]}], "2 samples and 1 scores", "one score a sample"),
        ([{**ROW, "scores": [1, None]}], "'scores' must be a list of numbers", ""),
        ([{**ROW, "scores": [1, float("nan")]}], "'scores' must be a list of numbers", ""),
        ([{**ROW, "id": ""}], "'id' must be a text or a number", ""),
        ([[1, 2]], "holds a list, not an object", ""),
        ([], "holds no problems", ""),
    ],
)
def test_bad_lines_are_named(tmp_path, rows, sentence, hint):
    with pytest.raises(ConfigError) as found:
        read_texts(write(tmp_path / "s.jsonl", *rows))
    assert sentence in found.value.message
    assert hint in found.value.hint


def test_bad_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no file or folder"):
        read_texts(tmp_path / "nothing")
    (tmp_path / "s.jsonl").write_text('{"id": ')
    with pytest.raises(ConfigError, match="line 1 is no JSON"):
        read_texts(tmp_path / "s.jsonl")


async def test_a_run_gives_back_its_samples(task, tmp_path):
    setup = Setup(
        strategy=tts.BestOfN(n=3),
        backend=World().backend(),
        verifier=LengthVerifier(),
        max_tokens=100,
    )
    names = Names(strategy_name="best_of_n", task="toy", model="simulated", backend="simulated")
    arm = Arm("best", setup, names, repeats=2)
    with Store(tmp_path, {"best": arm.expected(task)}) as store:
        await evaluate(task, arm, store=store)
        record = store.record("best", "t3", 1)
    problems = {item.problem.id: item.problem for item in task}
    (samples,) = read_run(tmp_path, problems).values()
    assert {s.problem.id for s in samples} == set(problems)
    third = next(s for s in samples if s.problem.id == "t3")
    assert len(third.trajectories) == 6
    assert third.gold == "0"
    kept = [t.score.raw for t in third.trajectories]
    assert {c.score.raw for c in record.candidates} <= set(kept)
    with pytest.raises(ConfigError, match="has no problem 't"):
        read_run(tmp_path, {})
    (tmp_path / RESULTS).unlink()
    with pytest.raises(ConfigError, match="holds no results"):
        read_run(tmp_path, problems)
