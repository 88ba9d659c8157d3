"""A record in short is the record."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.evaluation._brief import brief
from tts.evaluation.records import CandidateRecord, DecisionRecord, Record
from tts.types import Usage

texts = st.text(st.characters(codec="utf-8"), max_size=8)
marks = st.none() | st.booleans()
candidates = st.builds(
    CandidateRecord,
    answer=st.none() | texts,
    key=st.none() | texts,
    correct=marks,
    score=st.none(),
    finish=st.none() | st.just("stop"),
    clock=st.integers(0, 99),
)
whole = st.integers(0, 2**53)
real = st.floats(0, 1e18)
usages = st.builds(
    Usage, completion_tokens=whole, verifier_calls=whole, flops=real | whole, seconds=real
)
records = st.builds(
    Record,
    configuration=texts,
    id=texts,
    repeat=st.integers(0, 9),
    arm=texts,
    status=st.sampled_from(["done", "exhausted", "failed"]),
    limit=texts,
    error=texts,
    answer=st.none() | texts,
    text=st.none() | texts,
    correct=marks,
    gold=st.none() | texts,
    asked=texts,
    usage=usages.map(Usage.as_dict),
    candidates=st.lists(candidates, max_size=3).map(tuple),
    decisions=st.lists(st.builds(DecisionRecord, samples=whole, reason=texts), max_size=2).map(
        tuple
    ),
    seed=st.integers(0, 9),
    elapsed=real,
    sitting=real,
)


@given(records)
def test_it_is_what_the_whole_record_says(record):
    found = brief(record.line())
    assert found.key == record.file_key
    assert found.outcome == record.outcome


LINE = json.loads(
    Record(
        configuration="c", problem_id="p", arm="a", status="done", usage={"calls": 1}, seed=0
    ).line()
)


@pytest.mark.parametrize(
    "line",
    [
        {**LINE, "of_another_version": 1},
        {name: value for name, value in LINE.items() if name != "usage"},
        {**LINE, "status": "lost"},
        {**LINE, "repeat": "0"},
        [LINE],
    ],
)
def test_what_is_no_record_is_refused(line):
    with pytest.raises(ValueError):
        brief(json.dumps(line).encode())


def test_half_a_line_is_refused():
    with pytest.raises(ValueError):
        brief(json.dumps(LINE).encode()[:-1])
    with pytest.raises(ValueError):
        brief(b'{"id": "\xff"}')
