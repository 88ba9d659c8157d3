"""Estimators from a pool against the count of all subsets."""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.errors import ConfigError
from tts.evaluation.estimators import (
    Pool,
    best_of_k,
    curve,
    majority_at_k,
    misses,
    pass_at_k,
    weighted_majority_at_k,
)

relaxed = settings(deadline=None, max_examples=60)


@st.composite
def cases(draw):
    """A pool of at most 8 samples with few answers, and a size of subset."""
    keys = draw(st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=8))
    right = draw(st.sets(st.sampled_from("abcd")))
    scores = draw(st.lists(st.sampled_from([0.0, 0.25, 0.5]), min_size=8, max_size=8))
    pool = Pool(tuple(keys), tuple(k in right for k in keys), tuple(scores[: len(keys)]))
    return pool, draw(st.integers(1, len(keys)))


def over_subsets(pool, k, chance):
    subsets = list(itertools.combinations(range(len(pool.keys)), k))
    return float(sum(chance(subset) for subset in subsets) / Fraction(len(subsets)))


def winners_chance(pool, sums):
    """The chance that a uniformly drawn answer among those of the largest sum is right."""
    if not sums:
        return Fraction(0)
    tied = [key for key, total in sums.items() if total == max(sums.values())]
    marks = dict(zip(pool.keys, pool.correct, strict=True))
    return Fraction(sum(marks[key] for key in tied), len(tied))


@given(case=cases())
@relaxed
def test_pass_at_k_counts_subsets_with_a_right_sample(case):
    pool, k = case
    exact = over_subsets(pool, k, lambda s: any(pool.correct[i] for i in s))
    assert pass_at_k(pool, k) == pytest.approx(exact, abs=1e-12)


@given(case=cases())
@relaxed
def test_majority_counts_the_votes_of_all_subsets(case):
    pool, k = case

    def chance(subset):
        votes = Counter(pool.keys[i] for i in subset if pool.keys[i] is not None)
        return winners_chance(pool, votes)

    assert majority_at_k(pool, k) == pytest.approx(over_subsets(pool, k, chance), abs=1e-12)


@given(case=cases())
@relaxed
def test_a_weighted_vote_counts_the_scores_of_all_subsets(case):
    pool, k = case

    def chance(subset):
        sums = Counter()
        for i in subset:
            if pool.keys[i] is not None:
                sums[pool.keys[i]] += pool.scores[i]
        return winners_chance(pool, sums)

    found = weighted_majority_at_k(pool, k)
    assert found.exact
    assert found.value == pytest.approx(over_subsets(pool, k, chance), abs=1e-12)


@given(case=cases())
@relaxed
def test_best_of_k_counts_all_subsets_with_fair_ties(case):
    pool, k = case

    def chance(subset):
        answered = [i for i in subset if pool.keys[i] is not None] or subset
        top = max(pool.scores[i] for i in answered)
        tied = [i for i in answered if pool.scores[i] == top]
        return Fraction(sum(pool.correct[i] for i in tied), len(tied))

    assert best_of_k(pool, k) == pytest.approx(over_subsets(pool, k, chance), abs=1e-12)


@given(case=cases(), data=st.data())
@relaxed
def test_the_order_of_a_pool_does_not_matter(case, data):
    pool, k = case
    order = data.draw(st.permutations(range(len(pool.keys))))
    turned = Pool(
        *(tuple(part[i] for i in order) for part in (pool.keys, pool.correct, pool.scores))
    )
    for estimator in (pass_at_k, majority_at_k, best_of_k):
        assert estimator(pool, k) == pytest.approx(estimator(turned, k), abs=1e-12)
        assert estimator(pool, k) <= pass_at_k(pool, k) + 1e-12


@given(n=st.integers(1, 300), data=st.data())
@relaxed
def test_misses_are_ratios_of_binomials(n, data):
    k = data.draw(st.integers(1, n))
    exact = [float(Fraction(comb(n - c, k), comb(n, k))) for c in range(n + 1)]
    assert misses(n, k) == pytest.approx(exact, rel=1e-9, abs=1e-300)


def test_ten_thousand_samples_do_not_overflow():
    pool = Pool(("a",) * 3000 + ("b",) * 7000, (True,) * 3000 + (False,) * 7000)
    assert pass_at_k(pool, 1000) == pytest.approx(1.0)
    assert pass_at_k(pool, 1) == pytest.approx(0.3)
    assert majority_at_k(pool, 1) == pytest.approx(0.3)
    assert majority_at_k(pool, 201) < 1e-6


def test_two_answers_vote_by_a_hypergeometric_law():
    from scipy.stats import hypergeom

    pool = Pool(("a",) * 140 + ("b",) * 116, (True,) * 140 + (False,) * 116)
    law = hypergeom(256, 140, 64)
    assert majority_at_k(pool, 64) == pytest.approx(law.sf(32) + law.pmf(32) / 2)


def test_equal_weights_are_a_plain_majority_also_when_drawn():
    keys = tuple("aaaaabbbbccddde" * 2)
    pool = Pool(keys, tuple(key == "b" for key in keys), (0.1,) * 30)
    found = weighted_majority_at_k(pool, 8)
    assert not found.exact
    assert found == weighted_majority_at_k(pool, 8)
    assert found.value == pytest.approx(majority_at_k(pool, 8), abs=0.015)


def test_a_curve_has_an_interval_over_the_problems():
    rng = np.random.default_rng(0)
    pools = {}
    for i, p in enumerate(rng.beta(1, 2, 200)):
        correct = tuple((rng.random(32) < p).tolist())
        pools[str(i)] = Pool(tuple("right" if c else "wrong" for c in correct), correct)
    found = curve(pools, (1, 4, 16), pass_at_k)
    values = np.array([pass_at_k(pool, 4) for pool in pools.values()])
    assert list(found) == [1, 4, 16]
    assert found[4].mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / 200**0.5
    assert found[4].high - found[4].low == pytest.approx(2 * half, rel=0.03)
    assert found[1].mean < found[4].mean < found[16].mean


@pytest.mark.parametrize(
    "call, named",
    [
        (lambda: pass_at_k(Pool(("a",), (True,)), 2), "k:"),
        (lambda: majority_at_k(Pool(("a",), (True,)), 0), "k:"),
        (lambda: best_of_k(Pool(("a",), (True,)), 1), "scores:"),
        (lambda: weighted_majority_at_k(Pool(("a",), (True,), (-1.0,)), 1), "scores:"),
        (lambda: Pool((), ()), "keys:"),
        (lambda: Pool(("a",), ()), "correct:"),
        (lambda: Pool((None,), (True,)), "correct:"),
        (lambda: Pool(("a",), (True,), (float("nan"),)), "scores:"),
        (lambda: curve({}, [1], pass_at_k), "pools:"),
    ],
)
def test_bad_input_is_named(call, named):
    with pytest.raises(ConfigError, match=named):
        call()
