"""Perplexity consistency: sums by hand, copies, pruning, and what is not pruned."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

from tests.selectors.pool import NONE, candidate, weigh
from tts.errors import VerifierError
from tts.selectors import PerplexityConsistency
from tts.types import Capability

PLAIN = PerplexityConsistency(prune=False)
LOW = [0.16, 0.17, 0.18, 0.185, 0.19, 0.195, 0.2, 0.205, 0.21, 0.22, 0.23, 0.24]
HIGH = [0.82, 0.85, 0.88, 0.9]


def paths(answer, ps):
    return [candidate(answer, f"{answer}: {p}", p=p) for p in ps]


def test_probabilities_of_equal_answers_add_up():
    pool = [*paths("a", [0.5, 0.25]), *paths("b", [0.6]), candidate(None, "?", p=0.9)]
    assert weigh(PLAIN, pool) == approx([0.75, 0.75, 0.6, NONE])
    assert weigh(PerplexityConsistency(), pool) == approx([0.75, 0.75, 0.6, NONE])  # too few


def test_copies_count_once():
    pool = [*paths("a", [0.5]) * 5, *paths("b", [0.6])]
    assert weigh(PLAIN, pool) == approx([0.5] * 5 + [0.6])


def test_of_copies_that_differ_by_rounding_the_larger_counts():
    pool = [candidate("a", "same", p=0.5), candidate("a", "same", p=0.5000001)]
    assert weigh(PLAIN, pool) == weigh(PLAIN, pool[::-1]) == approx([0.5000001] * 2)


def test_pruning_drops_the_unlikely_group():
    """Twelve unlikely paths sum to 2.385, four likely ones to 3.45; with twenty it is 3.975."""
    more = [p + 0.004 for p in LOW[:8]]
    pool = [*paths("wrong", LOW + more), *paths("right", HIGH)]
    plain, pruned = weigh(PLAIN, pool), weigh(PerplexityConsistency(), pool)
    assert plain == approx([sum(LOW + more)] * 20 + [3.45] * 4)
    assert plain[0] > plain[-1]
    assert pruned == approx([0.0] * 20 + [3.45] * 4)


def test_a_likely_path_is_kept_even_beside_unlikely_ones_of_its_answer():
    pool = [*paths("a", [*LOW, 0.87]), *paths("b", HIGH)]
    assert weigh(PerplexityConsistency(), pool) == approx([0.87] * 13 + [3.45] * 4)


def test_nearly_equal_probabilities_are_a_plain_vote():
    pool = [*paths("a", [0.9 + 1e-5 * i for i in range(12)]), *paths("b", [0.9002])]
    assert weigh(PerplexityConsistency(), pool) == weigh(PLAIN, pool)


def test_ties_are_ties():
    one, other = weigh(PLAIN, [*paths("a", [0.3, 0.1, 0.2]), *paths("b", [0.2, 0.3, 0.1])])[2:4]
    assert one == other


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 99)), min_size=1, max_size=20)
    .flatmap(lambda pool: st.tuples(st.just(pool), st.permutations(pool)))
)  # fmt: skip
def test_the_order_of_samples_decides_nothing_and_the_likeliest_path_is_kept(pools):
    one, other = [[candidate(a, f"{a}{p}", p=p / 100) for a, p in pool] for pool in pools]
    weights = dict(zip(pools[0], weigh(PerplexityConsistency(), one), strict=True))
    again = weigh(PerplexityConsistency(), other)
    assert [weights[item] for item in pools[1]] == approx(again)
    best = max(pools[0], key=lambda item: item[1])
    assert weights[best] >= best[1] / 100 - 1e-9


def test_what_is_missing_is_an_error():
    assert PLAIN.requires == {Capability.LOGPROBS}
    with pytest.raises(VerifierError, match="log-probabilities"):
        weigh(PLAIN, [candidate("a")])
