"""What a verifier is worth: against closed forms, pairs counted one by one, and worked examples."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.errors import ConfigError
from tts.evaluation.estimators import Pool
from tts.evaluation.judged import Judged
from tts.evaluation.reliability import reliability
from tts.evaluation.verifier_plot import picture
from tts.evaluation.verifier_report import ceiling_of, difficulties, report
from tts.evaluation.verifier_tables import entry, markdown, notes, sheets

ANSWERS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans()), min_size=1, max_size=30
)


def pool(marks, scores, silent=0):
    keys = ("x",) * len(marks) + (None,) * silent
    return Pool(keys, (*marks, *(False,) * silent), (*scores, *(0.5,) * silent))


def judged(pools, probable=True, **how):
    return Judged.of(pools, probable=probable, **how)


def of(rows):
    """From (problem, score, right)."""
    pools = {}
    for problem, score, right in rows:
        marks, scores = pools.setdefault(str(problem), ([], []))
        marks.append(right)
        scores.append(score / 4)
    return judged({name: pool(*each) for name, each in pools.items()})


def pairs(rows):
    """The chance that a right answer scores higher, counted pair by pair."""
    right = [score for _, score, mark in rows if mark]
    wrong = [score for _, score, mark in rows if not mark]
    won = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(right, wrong)]
    return sum(won) / len(won) if won else math.nan


@settings(deadline=None)
@given(ANSWERS)
def test_the_area_is_the_share_of_pairs_that_are_in_order(rows):
    assert of(rows).auc() == pytest.approx(pairs(rows), nan_ok=True)


@settings(deadline=None)
@given(ANSWERS)
def test_the_area_within_problems_leaves_out_those_of_one_kind(rows):
    found = of(rows).auc_by_problem()
    for problem in {row[0] for row in rows}:
        expected = pairs([row for row in rows if row[0] == problem])
        if math.isnan(expected):
            assert str(problem) not in found
        else:
            assert found[str(problem)] == pytest.approx(expected)


@settings(deadline=None)
@given(ANSWERS, st.data())
def test_a_weight_is_as_good_as_a_copy_of_the_problem(rows, data):
    whole = of(rows)
    weights = [data.draw(st.integers(0, 3)) for _ in whole.problems]
    copies = dict(zip(whole.problems, weights, strict=True))
    copied = [row for row in rows for _ in range(copies[str(row[0])])]
    found = whole.auc(np.array(weights, dtype=float))
    assert found == pytest.approx(pairs(copied), nan_ok=True)


@settings(deadline=None)
@given(ANSWERS)
def test_the_area_under_the_curve_that_is_drawn_is_the_same(rows):
    _, false, true = of(rows).roc()
    area = np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2)
    assert area == pytest.approx(pairs(rows), nan_ok=True)


def test_the_best_threshold_is_youdens():
    pools = {"p": pool([True, True, False, False], [0.9, 0.6, 0.7, 0.1])}
    assert judged(pools).youden() == 0.9  # 1/2 - 0, as good as 1 - 1/2 at 0.6, and stricter
    pools = {"p": pool([True, True, True, False, False], [0.9, 0.6, 0.6, 0.7, 0.1])}
    assert judged(pools).youden() == 0.6  # 1 - 1/2 against 1/3 - 0
    with pytest.raises(ConfigError, match="no threshold parts them") as error:
        report(judged({"p": pool([True], [0.9])}))
    assert "--threshold" in error.value.hint


def test_the_vector_of_the_formula():
    # Accuracies 0.87 and 0.13; no right answer is rejected, a quarter of the wrong is let in.
    easy, hard = ceiling_of(0.87, 1, 0.25), ceiling_of(0.13, 1, 0.25)
    assert (easy, hard) == (pytest.approx(0.96399, abs=1e-5), pytest.approx(0.37410, abs=1e-5))
    assert math.isnan(ceiling_of(0.5, 0, 0))
    assert ceiling_of(0.0, 1, 0.1) == 0.0


def test_the_ceiling_is_the_mean_over_bins_of_difficulty():
    # Easy: 3 of 4 right, and all accepted. Hard: 1 of 4 right, accepted with one that is wrong.
    easy, hard = [True] * 3 + [False], [True] + [False] * 3
    pools = {
        "e": pool(easy, [1, 1, 1, 1]),
        "h": pool(hard, [1, 1, 0, 0]),
        "i": pool(hard, [1, 1, 0, 0]),
    }
    found = report(judged(pools), threshold=0.5, pools=pools)
    assert found.ceiling.mean == pytest.approx((3 / 4 + 2 * (1 / 2)) / 3)
    assert (found.true_positive.mean, found.false_positive.mean) == (1, pytest.approx(3 / 7))
    common = (ceiling_of(0.75, 1, 3 / 7) + 2 * ceiling_of(0.25, 1, 3 / 7)) / 3
    assert found.common.mean == pytest.approx(common)
    assert found.first.mean == pytest.approx((3 / 4 + 1) / 3)
    assert [(g.name, g.problems, g.ceiling) for g in found.bins] == [
        ("up to 25%", 2, 0.5), ("50 to 75%", 1, 0.75),
    ]  # fmt: skip
    assert (found.accuracy.mean, found.never, found.n_within) == (5 / 12, 0, 3)
    assert list(found.selection) == [1, 2, 4]
    assert found.selection[4].mean == pytest.approx((3 / 4 + 1) / 3)


async def test_resampling_until_the_first_acceptance_ends_at_the_ceiling():
    rng = random.Random(0)
    rates = {"easy": (0.8, 0.9, 0.3), "hard": (0.2, 0.6, 0.1)}
    pools, last = {}, []
    for number in range(400):
        r, c, f = rates["easy" if number % 2 else "hard"]
        marks = [rng.random() < r for _ in range(40)]
        accepted = [rng.random() < (c if mark else f) for mark in marks]
        pools[str(number)] = pool(marks, [0.9 if each else 0.1 for each in accepted])
        last.append(next(m for m, a in zip(marks, accepted, strict=True) if a))
    found = report(judged(pools), threshold=0.5)
    expected = np.mean([ceiling_of(*each) for each in rates.values()])
    assert found.first.mean == pytest.approx(expected, abs=0.03)
    assert found.ceiling.mean == pytest.approx(expected, abs=0.03)
    assert np.mean(last) == pytest.approx(expected, abs=0.06)


def test_bins_that_accept_nothing_are_left_out_and_said():
    pools = {"a": pool([True] * 4, [1] * 4), "b": pool([False] * 4, [0] * 4)}
    found = report(judged(pools), threshold=0.5)
    assert (found.ceiling.mean, found.never, found.within) == (1.0, 0.5, None)
    assert [group.ceiling for group in found.bins] == [None, 1.0]
    assert any("50.0% of the problems none" in note for note in notes({"x": found}))
    nothing = report(judged(pools), threshold=2.0)
    assert (nothing.ceiling, nothing.first, nothing.never) == (None, None, 1.0)


def test_difficulty_goes_by_level_where_answers_are_few():
    four = judged({name: pool([mark] * 4, [0.1] * 4) for name, mark in (("a", True), ("b", False))})
    assert difficulties(four) == ("all right", "none right")
    pools = {str(i): pool([i % 2 == 0], [0.1]) for i in range(3)}
    levels = {"0": "2", "1": "10", "2": "2"}
    found = report(judged(pools, levels=levels), threshold=0.0)
    assert [(group.name, group.problems) for group in found.levels] == [("2", 2), ("10", 1)]
    assert found.bins == found.levels
    assert difficulties(judged(pools)) == ("all",) * 3


def test_samples_without_an_answer_are_counted_and_left_out():
    found = judged({"a": pool([True, False], [0.9, 0.1], silent=3), "b": pool([], [], silent=2)})
    assert (found.problems, len(found.raws), found.silent) == (("a",), 2, 5)
    with pytest.raises(ConfigError, match="No sample holds an answer"):
        judged({"b": pool([], [], silent=2)})
    with pytest.raises(ConfigError, match="'a' have no scores"):
        judged({"a": Pool(("x",), (True,))})


def test_reliability_by_hand():
    found = reliability(np.array([0.05, 0.95, 1.0, 0.92]), np.array([0.0, 1.0, 0.0, 1.0]))
    assert [(b.low, b.n, b.right) for b in found.bins] == [(0.0, 1, 0.0), (0.9, 3, 2 / 3)]
    assert found.ece == pytest.approx((0.05 + 3 * (2.87 / 3 - 2 / 3)) / 4)
    assert found.brier == pytest.approx((0.05**2 + 0.05**2 + 1 + 0.08**2) / 4)


def test_probabilities_that_are_meant_are_reliable():
    rng = np.random.default_rng(0)
    chances = rng.random(50_000)
    found = reliability(chances, (rng.random(50_000) < chances).astype(float))
    assert found.ece < 0.01
    assert found.brier == pytest.approx(1 / 6, abs=0.005)  # the mean of p (1 - p)


def test_intervals_cover_the_truth_most_of_the_time():
    # Scores of right answers are uniform on [1, 3], of wrong ones on [0, 2]: the area is 7/8.
    hits = 0
    for seed in range(40):
        rng = random.Random(seed)
        rows = {}
        for problem in range(40):
            marks = [rng.random() < 0.5 for _ in range(4)]
            rows[str(problem)] = pool(marks, [rng.uniform(0, 2) + mark for mark in marks])
        found = report(judged(rows, probable=False), seed=seed)
        hits += found.auc.low <= 7 / 8 <= found.auc.high
        assert found.reliability is None
    assert hits >= 34


def test_tables_plain_values_and_picture():
    rng = random.Random(1)
    pools = {}
    for number in range(12):
        marks = [rng.random() < 0.5 for _ in range(4)]
        pools[str(number)] = pool(marks, [rng.random() for _ in marks], silent=1)
    levels = {str(i): str(i % 2) for i in range(12)}
    found = {
        "bounded": report(judged(pools, levels=levels), pools=pools),
        "rewards": report(judged(pools, probable=False), threshold=0.5),
    }
    text = markdown(found)
    assert "| AUC |" in text and "level 1" in text and "verifier_report.png" in text
    assert len(sheets(found)) == 3
    said = "\n".join(notes(found))
    assert "bounded: the threshold" in said and "rewards: the threshold" not in said
    assert (
        "rewards: the scores are no probabilities" in said and "12 samples hold no answer" in said
    )
    values = entry(found["bounded"])
    assert values["auc"][1] <= values["auc"][0] <= values["auc"][2]
    assert values["reliability"]["ece"] == found["bounded"].reliability.ece
    assert entry(found["rewards"])["reliability"] is None
    assert len(picture(found).axes) == 6
