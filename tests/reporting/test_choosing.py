"""Which problems are shown, and how many of each board."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.reporting.made import failed, folder, record
from tests.reporting.test_boards import boarded
from tts.reporting.choosing import choose, shares
from tts.reporting.failures import failures


def wrong(problem, arm):
    return record(problem, arm, answer="2", correct=False)


def test_faults_come_first_then_disagreements_then_others(tmp_path):
    rows = [record("same"), record("same", "b"), record("split"), wrong("split", "b")]
    rows += [record("died"), failed("died", "b"), record("alike"), record("alike", "b")]
    (board,) = boarded(folder(tmp_path, *rows))
    choice = choose(board, 10)
    assert choice.problems[:2] == ("died", "split") and len(choice.problems) == 4
    assert (choice.total, choice.failed, choice.split) == (4, 1, 1)
    assert choose(board, 1).problems == ("died",)


def test_where_nobody_knows_what_is_right_answers_that_differ_disagree(tmp_path):
    unknown = {"gold": None, "correct": None, "candidates": ()}
    rows = [record(p, arm, answer=a, **unknown) for p, arm, a in
            (("p", "a", "x"), ("p", "b", "x"), ("q", "a", "x"), ("q", "b", "y"))]  # fmt: skip
    (board,) = boarded(folder(tmp_path, *rows))
    assert choose(board, 1).problems == ("q",)


def test_the_lot_is_the_same_every_time(tmp_path):
    (board,) = boarded(folder(tmp_path, *(record(f"p{i}") for i in range(30))))
    assert choose(board, 5) == choose(board, 5)
    assert choose(board, 5).problems != choose(board, 5, seed=1).problems
    assert set(choose(board, 5).problems) < set(choose(board, 9).problems)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 120))
def test_boards_share_the_problems_as_evenly_as_they_can(sizes, most):
    found = shares(sizes, most)
    assert sum(found) == min(most, sum(sizes))
    assert all(n <= size for n, size in zip(found, sizes, strict=True))
    short = [n for n, size in zip(found, sizes, strict=True) if n < size]
    assert max(found) - min(short, default=max(found)) <= 1


def test_faults_that_differ_in_numbers_are_one_kind(tmp_path):
    rows = [failed(f"p{i}", error=f"Timeout: after {i} s") for i in range(20)]
    rows += [failed("p0", "b", "EngineDead: gone")]
    first, second = failures(boarded(folder(tmp_path, *rows))[0])
    assert (first.count, len(first.ids), first.unnamed, first.arms) == (20, 12, 8, (("a", 20),))
    assert (second.error, second.ids) == ("EngineDead: gone", ("p0",))
