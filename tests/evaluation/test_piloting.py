"""What is measured of a run: by hand, against all outcomes, and against a known law."""

from __future__ import annotations

from itertools import product
from math import prod, sqrt

import numpy as np
import pytest

from tts.errors import ConfigError
from tts.evaluation.pairs import Pair
from tts.evaluation.piloting import Pilot, pilots, read_marks, variances
from tts.evaluation.records import Record
from tts.evaluation.store import RESULTS, Expected, Store
from tts.types import Usage

# Kinds of problems, equally frequent: chance of a right answer of the arm, and of its reference.
KINDS = ((0.9, 0.8), (0.1, 0.3))


def marks(*rows):
    """One string a problem, one character a repeat: 1 is right, 0 is wrong, - is not there."""
    found = {}
    for number, row in enumerate(rows):
        repeats = {r: mark == "1" for r, mark in enumerate(row) if mark != "-"}
        if repeats:
            found[f"p{number}"] = repeats
    return found


def measured(arm, reference):
    return Pilot.of("new", "old", {"new": marks(*arm), "old": marks(*reference)})


def record(arm, problem, correct, repeat=0):
    return Record(
        configuration=f"hash of {arm}",
        problem_id=problem,
        repeat=repeat,
        arm=arm,
        status="failed" if correct is None else "done",
        correct=correct,
        gold="1",
        usage=Usage().as_dict(),
        seed=0,
    )


def test_one_repeat_by_hand():
    found = measured([*"1111100000"], [*"1110010000"])
    assert (found.problems, found.repeats) == (10, 1)
    assert (found.arm_accuracy, found.reference_accuracy) == pytest.approx((0.5, 0.4))
    assert found.discordance == pytest.approx(0.3)
    assert found.correlation == pytest.approx((0.3 - 0.2) / sqrt(0.25 * 0.24))
    assert found.within is None


def test_two_repeats_by_hand():
    found = measured(("11", "10", "00"), ("00", "00", "00"))
    # Differences 1 1, 1 0, 0 0: inside 1/2 on 3 degrees, between 1 on 2 degrees.
    between, within = variances([[1, 1], [1, 0], [0, 0]])
    assert (between, within) == pytest.approx(((1 / 2 - 1 / 6) / 2, 1 / 6))
    assert found.within == pytest.approx(0.5)
    assert found.correlation is None  # the reference is never right
    assert found.discordance == found.difference == pytest.approx(0.5)


def test_repeats_weigh_less_where_a_problem_has_more_of_them():
    found = measured(("1111", "0"), ("0000", "0"))
    assert found.difference == 0.5
    assert found.repeats == 1  # the harmonic mean of 4 and 1 is 1.6


def test_only_what_both_ended_counts():
    found = measured(("1-", "11", "0", "-"), ("11", "-0", "-", "1"))
    assert (found.problems, found.repeats) == (2, 1)
    assert (found.arm_accuracy, found.reference_accuracy) == (1.0, 0.5)


def test_a_spread_between_that_comes_out_negative_counts_as_none():
    assert variances([[1, 0], [0, 1]])[0] < 0
    assert measured(("10", "01"), ("00", "00")).within == 1


def test_what_cannot_be_told_is_not_told():
    assert variances([]) is None
    assert variances([[1, 0, 1]]) is None
    assert variances([[1], [0]]) is None
    assert measured(("11", "00"), ("11", "00")).within is None  # nothing varies


@pytest.mark.parametrize("sizes", [(2, 2), (1, 3), (2, 1, 2)])
def test_the_components_are_unbiased_for_groups_of_any_size(sizes):
    chances = (0.9, 0.3)  # of a 1, in two kinds of groups, equally frequent
    between = within = 0.0
    for kinds in product(chances, repeat=len(sizes)):
        for values in product((0, 1), repeat=sum(sizes)):
            rest, each = (
                list(values),
                [p for p, k in zip(kinds, sizes, strict=True) for _ in [0] * k],
            )
            groups = [[rest.pop(0) for _ in range(size)] for size in sizes]
            weight = prod(p if v else 1 - p for p, v in zip(each, values, strict=True))
            found = variances(groups)
            between += weight / 2 ** len(sizes) * found[0]
            within += weight / 2 ** len(sizes) * found[1]
    assert between == pytest.approx(0.09)
    assert within == pytest.approx((0.9 * 0.1 + 0.3 * 0.7) / 2)


def test_a_known_law_is_found_again():
    draws, n, k = np.random.default_rng(7), 4000, 3
    kinds = np.array(KINDS)[draws.integers(0, 2, n)]
    right = draws.random((n, 2, k)) < kinds[:, :, None]
    text = [["".join("01"[int(mark)] for mark in row) for row in right[:, side]] for side in (0, 1)]
    found = measured(*text)

    (p, q), both = np.mean(KINDS, axis=0), np.mean([a * b for a, b in KINDS])
    noise = np.mean([a * (1 - a) + b * (1 - b) for a, b in KINDS])
    spread = np.var([a - b for a, b in KINDS])
    assert found.arm_accuracy == pytest.approx(p, abs=0.03)
    assert found.reference_accuracy == pytest.approx(q, abs=0.03)
    assert found.discordance == pytest.approx(p + q - 2 * both, abs=0.03)
    phi = (both - p * q) / sqrt(p * (1 - p) * q * (1 - q))
    assert found.correlation == pytest.approx(phi, abs=0.05)
    assert found.within == pytest.approx(noise / (noise + spread), abs=0.05)


def test_a_pair_made_of_the_measured_figures_is_the_measured_pair():
    found = measured(("110", "011", "100", "001"), ("100", "011", "000", "101"))
    pair = Pair.correlated(found.reference_accuracy, found.difference, found.correlation)
    assert pair.discordance == pytest.approx(found.discordance)


def test_the_last_record_counts_and_failures_are_no_wrong_answers(tmp_path):
    problems = frozenset("abc")
    with Store(tmp_path, {x: Expected(f"hash of {x}", problems, 2) for x in ("z", "y")}) as store:
        for line in (
            record("z", "a", None),
            record("z", "a", True),
            record("y", "a", True),
            record("y", "a", False, repeat=1),
            record("y", "b", None),
        ):
            store.append(line)
    with (tmp_path / RESULTS).open("a") as file:
        file.write('{"torn')
    found = read_marks(tmp_path)
    assert found == {"z": {"a": {0: True}}, "y": {"a": {0: True, 1: False}}}
    assert list(found) == ["z", "y"]


def test_all_arms_are_measured_against_the_first_and_those_without_a_problem_left_out():
    run = {"a": marks("1", "0"), "b": marks("1", "1"), "c": marks(), "d": marks("0", "0")}
    assert [(p.arm, p.reference) for p in pilots(run)] == [("b", "a"), ("d", "a")]
    assert [(p.arm, p.reference) for p in pilots(run, ("a", "b"))] == [("a", "b")]


@pytest.mark.parametrize(
    "run, arms, named",
    [
        ({}, (), "no arms"),
        ({"a": marks("1")}, (), "1 arm;"),
        ({"a": marks("1"), "b": marks("1")}, ("a", "x"), "no arm 'x'"),
        ({"a": marks("1"), "b": marks("1")}, ("a",), "two different"),
        ({"a": marks("1"), "b": marks("1")}, ("a", "a"), "two different"),
        ({"a": marks("1"), "b": marks("1")}, ("a", "b", "a"), "two different"),
        ({"a": marks("1"), "b": marks("-", "1")}, (), "b and a share no problem"),
        ({"a": marks("1"), "b": marks()}, ("a", "b"), "a and b share no problem"),
    ],
)
def test_what_cannot_be_compared_is_refused(run, arms, named):
    with pytest.raises(ConfigError, match=named) as refused:
        pilots(run, arms)
    assert refused.value.hint


def test_a_folder_without_results_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=r"holds no results\.jsonl"):
            read_marks(folder)
