"""Curves of an arm: what it would have reached with fewer of its samples."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tts
from tts.evaluation import Arm, Names, Record, Store, evaluate
from tts.evaluation.curves import SUBSETS, curve_of
from tts.evaluation.records import CandidateRecord, ScoreRecord
from tts.selectors import BestScore, Majority, WeightedVote
from tts.solve import Setup
from tts.tasks import Item, ItemTask
from tts.testing import LengthVerifier, World
from tts.types import Answer, Candidate, Problem, Score, Trajectory, Usage

RIGHT = "right"


def setup(strategy, **options):
    return Setup(strategy, World().backend(), verifier=LengthVerifier(), **options)


def record(samples, *, correct=False, problem="p", repeat=0, scale="probability", **other):
    """Of samples given as pairs of an answer (or None) and a score (or None)."""
    candidates = [
        CandidateRecord(
            answer=key,
            key=key,
            correct=key == RIGHT,
            score=None if score is None else ScoreRecord(raw=score, scale=scale),
            finish="stop",
            clock=1,
        )
        for key, score in samples
    ]
    about = {"configuration": "c", "arm": "a", "gold": RIGHT, "seed": 0, "status": "done"}
    return Record(
        **about | other,
        problem_id=problem,
        repeat=repeat,
        correct=correct,
        usage=Usage().as_dict(),
        candidates=candidates,
    )


def means(curve):
    return {k: interval.mean for k, interval in curve.selected.items()}


async def chance(selector, samples):
    """That a selector picks a right one, ties shared among the answers that are tied for it."""
    root = Trajectory.root()
    candidates = [
        Candidate(root.scored(Score(score, "probability")), Answer(key, key) if key else None)
        for key, score in samples
    ]
    weights = await selector.weigh(Problem("p", prompt="?"), candidates, None)
    top = max(weights)
    tied = [key for (key, _), w in zip(samples, weights, strict=True) if w == top > -math.inf]
    if not isinstance(selector, BestScore):
        tied = list(set(tied))
    return statistics.mean(key == RIGHT for key in tied) if tied else 0.0


sampled = st.tuples(st.sampled_from([RIGHT, "a", "b", None]), st.sampled_from([0.0, 0.25, 0.75]))


@pytest.mark.parametrize(
    ("strategy", "selector"),
    [
        (tts.SelfConsistency(n=6), Majority()),
        (tts.BestOfN(n=6), BestScore()),
        (tts.WeightedBestOfN(n=6), WeightedVote()),
    ],
)
@given(pools=st.lists(st.lists(sampled, min_size=6, max_size=6), min_size=1, max_size=3))
@settings(deadline=None, max_examples=25)
async def test_a_curve_is_the_mean_over_all_subsets(strategy, selector, pools):
    records = [record(pool, problem=f"p{i}") for i, pool in enumerate(pools)]
    curve = curve_of(setup(strategy), records)
    assert list(curve.selected) == list(curve.covered) == [1, 2, 4, 6]
    assert curve.n == 6 and curve.drawn is None
    for k in (1, 2, 4):
        subsets = [s for pool in pools for s in itertools.combinations(pool, k)]
        exact = statistics.mean([await chance(selector, s) for s in subsets])
        covered = statistics.mean(any(key == RIGHT for key, _ in s) for s in subsets)
        assert curve.selected[k].mean == pytest.approx(exact, abs=1e-9)
        assert curve.covered[k].mean == pytest.approx(covered, abs=1e-9)


@pytest.mark.parametrize("kind", [tts.SelfConsistency, tts.BestOfN, tts.WeightedBestOfN])
async def test_all_samples_give_what_the_run_had(kind, tmp_path):
    items = [Item(Problem(f"p{i}", prompt=f"{i}?"), "0") for i in range(30)]
    task = ItemTask("toy", items)
    arm = Arm("arm", setup(kind(n=5), max_tokens=100), Names(**_NAMES), repeats=2)
    with Store(tmp_path, {"arm": arm.expected(task)}) as store:
        row = await evaluate(task, arm, store=store)
        done = [store.record("arm", o.problem_id, o.repeat) for o in store.outcomes("arm")]
    curve = curve_of(arm.setup, done)
    assert 0 < row.accuracy < row.coverage < 1
    assert curve.selected[5].mean == row.accuracy
    assert (curve.selected[5].low, curve.selected[5].high) == (row.accuracy_low, row.accuracy_high)
    assert curve.covered[5].mean == pytest.approx(row.coverage)
    single = statistics.mean(c.correct for r in done for c in r.candidates)
    assert [curve.selected[1].mean, curve.covered[1].mean] == pytest.approx([single, single])


_NAMES = {"strategy_name": "any", "task": "toy", "model": "simulated", "backend": "simulated"}


def test_ties_are_shared():
    tied = [(RIGHT, 0.5), ("a", 0.5), ("b", 0.5)]
    for strategy in (tts.SelfConsistency(n=3), tts.BestOfN(n=3), tts.WeightedBestOfN(n=3)):
        curve = curve_of(setup(strategy), [record(tied, correct=True)])
        assert means(curve) == {1: pytest.approx(1 / 3), 2: pytest.approx(1 / 3), 3: 1}
        assert curve.covered[2].mean == pytest.approx(2 / 3)


def test_a_problem_counts_once_however_often_it_was_solved():
    good, bad = [(RIGHT, 1.0)] * 2, [("a", 1.0)] * 2
    repeats = [record(good, repeat=i, correct=True) for i in range(3)]
    curve = curve_of(setup(tts.SelfConsistency(n=2)), [*repeats, record(bad, problem="q")])
    assert means(curve) == {1: 0.5, 2: 0.5}


def test_logits_are_added_as_probabilities():
    # 0.5 + 0.5 against 0.88; as logits 0 + 0 against 2.
    pool = [(RIGHT, 0.0), (RIGHT, 0.0), ("a", 2.0), (None, 9.0)]
    curve = curve_of(setup(tts.WeightedBestOfN(n=4)), [record(pool, scale="logit")])
    # Of the six pairs: both right ones, and either of them with the one that never votes.
    assert means(curve)[2] == pytest.approx(3 / 6)


def test_a_weighted_vote_of_many_samples_draws_subsets():
    pools = [[(RIGHT, 1.0)] * 5 + [("a", 1.0)] * 6 + [("b", 1.0)] * 5] * 200
    records = [record(pool, problem=f"p{i}") for i, pool in enumerate(pools)]
    weighted = curve_of(setup(tts.WeightedBestOfN(n=16)), records)
    votes = curve_of(setup(tts.SelfConsistency(n=16)), records)
    assert (weighted.drawn, votes.drawn) == (SUBSETS // 200, None)
    # With equal scores it is the majority. All pools being equal here, so are their subsets.
    assert means(weighted) == pytest.approx(means(votes), abs=4 * 0.5 / math.sqrt(1000))


def test_an_arm_without_scores_has_no_best():
    unscored = [record([(RIGHT, 0.5), ("a", None)])]
    assert curve_of(setup(tts.BestOfN(n=2)), unscored) is None
    assert curve_of(setup(tts.WeightedBestOfN(n=2)), unscored) is None
    assert curve_of(setup(tts.SelfConsistency(n=2)), unscored) is not None


def test_failed_problems_are_left_out():
    ok = record([(RIGHT, 0.5), ("a", 0.1)], correct=True)
    failed = record([], problem="q", status="failed")
    assert means(curve_of(setup(tts.BestOfN(n=2)), [ok, failed])) == {1: 0.5, 2: 1}
    assert curve_of(setup(tts.BestOfN(n=2)), [failed]) is None


def test_what_was_found_must_not_have_decided_how_many():
    pair = [(RIGHT, 0.5), ("a", 0.1)]
    plain = setup(tts.SelfConsistency(n=2))
    assert curve_of(plain, [record(pair)]) is not None
    assert curve_of(plain, [record(pair), record(pair[:1], problem="q")]) is None
    assert curve_of(plain, [record(pair), record(pair, problem="q", status="exhausted")]) is None
    adaptive = setup(tts.SelfConsistency(n=2), controller=tts.BetaStopping())
    assert curve_of(adaptive, [record(pair)]) is None


def test_strategies_without_independent_samples_have_no_curve():
    class Chained(tts.SelfConsistency):
        independent = False

    pair = [record([(RIGHT, 0.5), ("a", 0.1)])]
    assert curve_of(setup(Chained(n=2)), pair) is None
    assert curve_of(setup(tts.Greedy()), [record([(RIGHT, 0.5)])]) is None
    assert curve_of(setup(tts.SelfConsistency(n=1)), [record([(RIGHT, 0.5)])]) is None
    odd = tts.SelfConsistency(n=2, selector=LengthVerifier())
    assert curve_of(setup(odd), pair) is None
