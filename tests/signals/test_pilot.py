"""What a pilot tells: shares, entropies and scores worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.signals.pilot import Glimpse, difficulty, features, names_of
from tts.types import Score


def seen(keys, scores=(), *, scale="reward", tokens=10):
    marks = scores or [None] * len(keys)
    return [
        Glimpse(None if key == "." else key, None if mark is None else Score(mark, scale), tokens)
        for key, mark in zip(keys, marks, strict=True)
    ]


def told(samples, signal="agreement"):
    return dict(zip(names_of(signal), features(samples, signal), strict=True))


@pytest.mark.parametrize(
    ("keys", "value"), [("aaaa", 1.0), ("aab.", 0.5), ("....", 0.0), ("", 0.0), ("abcd", 0.25)]
)
def test_agreement_is_the_share_of_the_leading_answer_among_all_samples(keys, value):
    assert difficulty(seen(keys), "agreement") == value


def test_the_score_is_the_mean_of_those_that_are_there():
    assert difficulty(seen("ab", [1.0, 3.0]), "score") == 2.0
    assert difficulty(seen("ab"), "score") == -math.inf


@pytest.mark.parametrize(
    ("keys", "share", "margin", "entropy", "answered"),
    [
        ("aaaa", 1.0, 1.0, 0.0, 1.0),
        ("aabb", 0.5, 0.0, math.log(2), 1.0),
        ("aab.", 0.5, 0.25, 1.5 * math.log(2), 0.75),
        ("....", 0.0, 0.0, math.log(4), 0.0),
        ("a", 1.0, 1.0, 0.0, 1.0),
    ],
)
def test_votes_are_told_by_shares_and_entropy(keys, share, margin, entropy, answered):
    found = told(seen(keys))
    assert (found["share"], found["margin"], found["answered"]) == (share, margin, answered)
    assert found["entropy"] == pytest.approx(entropy)


def test_lengths_are_told_by_their_mean_and_spread():
    samples = [Glimpse("a", None, 10), Glimpse("a", None, 30)]
    assert told(samples)["length"] == pytest.approx(math.log(20))
    assert told(samples)["spread"] == pytest.approx(0.5)
    assert told(seen("ab", tokens=0))["spread"] == 0.0


def test_scores_are_told_by_mean_best_and_the_leader_by_sums():
    found = told(seen("abb.", [3.0, 1.0, 1.0, 5.0]), "score")
    assert (found["mean_score"], found["best_score"], found["leader_score"]) == (2.5, 5.0, 0.75)


def test_logits_are_told_as_probabilities():
    found = told(seen("ab", [0.0, 0.0], scale="logit"), "score")
    assert found["mean_score"] == found["best_score"] == 0.5


def test_what_cannot_be_told_is_nothing():
    assert features([], "agreement") is None
    assert features(seen("ab"), "score") is None
    assert features(seen("ab", [1.0, None]), "score") is None


@given(st.lists(st.sampled_from("abc."), min_size=1, max_size=12), st.randoms())
def test_the_order_of_the_samples_does_not_matter(keys, rng):
    samples = [
        Glimpse(None if k == "." else k, Score(rng.random(), "probability"), rng.randint(1, 99))
        for k in keys
    ]
    shuffled = list(samples)
    rng.shuffle(shuffled)
    found, again = features(samples, "score"), features(shuffled, "score")
    assert found == pytest.approx(again)
    assert 0 <= found[2] <= math.log(len(keys)) + 1e-12
