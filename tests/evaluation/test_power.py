"""Power against the count of all outcomes, textbook formulas and the project's rules of thumb."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import comb, sqrt
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.errors import ConfigError
from tts.evaluation.pairs import Pair
from tts.evaluation.power import Plan, detectable, power, problems_needed, provable_margin
from tts.evaluation.statistics import mcnemar

relaxed = settings(deadline=None, max_examples=25)
pairs = st.tuples(st.floats(0.01, 0.45), st.floats(0.01, 0.45)).map(lambda p: Pair(*p))
shares = st.floats(0.05, 0.95)


@cache
def significance(wins, losses):
    return mcnemar(wins, losses)


def outcomes(pair, n):
    """Wins, losses and their probability, for all outcomes of n problems."""
    for wins, losses in product(range(n + 1), repeat=2):
        if wins + losses <= n:
            ways = comb(n, wins) * comb(n - wins, losses)
            same = (1 - pair.discordance) ** (n - wins - losses)
            yield wins, losses, ways * pair.wins**wins * pair.losses**losses * same


@given(pair=pairs, n=st.integers(1, 25), alpha=st.sampled_from([0.05, 0.2]))
@relaxed
def test_power_counts_the_outcomes_that_mcnemar_calls_significant(pair, n, alpha):
    exact = sum(
        chance
        for wins, losses, chance in outcomes(pair, n)
        if significance(wins, losses) <= alpha and (wins - losses) * (pair.wins - pair.losses) >= 0
        if wins != losses
    )
    if pair.difference:
        assert power(pair, n, Plan(alpha)) == pytest.approx(exact, abs=1e-9)


@given(pair=pairs, n=st.integers(1, 25), margin=st.sampled_from([0.03, 0.1, 0.35]))
@relaxed
def test_power_counts_the_outcomes_whose_interval_lies_above_the_margin(pair, n, margin):
    def low(wins, losses):
        d, apart, total = wins - losses - 1, wins + losses + 1, n + 1
        return d / total - 1.959963984540054 * sqrt(apart - d * d / total) / total

    exact = sum(p for wins, losses, p in outcomes(pair, n) if low(wins, losses) > -margin)
    assert power(pair, n, Plan(margin=margin)) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("accuracy, difference, phi", [(0.6, 0.05, 0.6), (0.5, 0.03, 0.3)])
def test_problems_needed_are_near_connors_formula(accuracy, difference, phi):
    pair = Pair.correlated(accuracy, difference, phi)
    z = NormalDist().inv_cdf
    apart, d = pair.discordance, pair.difference
    rough = ((z(0.975) * sqrt(apart) + z(0.8) * sqrt(apart - d * d)) / d) ** 2
    needed = problems_needed(pair, Plan())
    assert rough < needed < 1.1 * rough  # the exact test is the more cautious one
    assert power(pair, needed, Plan()) >= 0.8 > power(pair, needed - 1, Plan())


@pytest.mark.parametrize("accuracy", [0.5, 0.65, 0.8])
@pytest.mark.parametrize("phi", [0.6, 0.7])
def test_the_rules_of_thumb_of_the_design_hold(accuracy, phi):
    def pair_of(difference):
        return Pair.correlated(accuracy, difference, phi)

    assert 0.05 <= detectable(pair_of, 200, Plan()) <= 0.10
    assert 0.02 <= detectable(pair_of, 1500, Plan()) <= 0.04


def test_the_inverse_gives_back_what_was_asked():
    def pair_of(difference):
        return Pair.correlated(0.6, difference, 0.6)

    smallest = detectable(pair_of, 400, Plan())
    assert power(pair_of(smallest), 400, Plan()) >= 0.8
    assert power(pair_of(smallest - 2e-5), 400, Plan()) < 0.8
    margin = provable_margin(pair_of(0.0), 400, Plan())
    assert power(pair_of(0.0), 400, Plan(margin=margin)) >= 0.8
    assert power(pair_of(0.0), 400, Plan(margin=margin - 2e-5)) < 0.8


def test_a_handful_of_problems_shows_nothing():
    assert detectable(lambda d: Pair.correlated(0.5, d, 0.5), 5, Plan()) is None
    assert provable_margin(Pair(0.3, 0.3), 1, Plan()) is None


def test_more_comparisons_need_more_problems():
    pair = Pair.correlated(0.6, 0.05, 0.6)
    needed = [problems_needed(pair, Plan(comparisons=m)) for m in (1, 2, 5, 20)]
    assert needed == sorted(set(needed))
    assert needed[2] == problems_needed(pair, Plan(alpha=0.01))


def test_repeats_average_away_the_noise_and_not_the_problems():
    pair = Pair.correlated(0.6, 0.05, 0.6)

    def needed(**plan):
        return problems_needed(pair, Plan(**plan))

    assert needed(repeats=4, within=1.0) == pytest.approx(needed() / 4, abs=1)
    assert needed(repeats=4, within=0.0) == needed()
    assert needed(repeats=10**6, within=0.5) == pytest.approx(needed() / 2, abs=1)


def test_arms_that_never_differ_are_shown_to_be_close_and_never_different():
    assert power(Pair(0, 0), 500, Plan()) == 0
    assert power(Pair(0, 0), 500, Plan(margin=0.05)) == 1
    assert power(Pair(0, 0), 5, Plan(margin=0.05)) == 0


@given(accuracy=shares, new=shares, phi=st.floats(-0.9, 0.9))
def test_a_pair_has_the_accuracies_and_correlation_asked_for(accuracy, new, phi):
    pair = Pair.correlated(accuracy, new - accuracy, phi)
    assert pair.difference == pytest.approx(new - accuracy, abs=1e-12)
    both = accuracy - pair.losses
    assert max(0, accuracy + new - 1) - 1e-12 <= both <= min(accuracy, new) + 1e-12
    found = (both - accuracy * new) / sqrt(accuracy * (1 - accuracy) * new * (1 - new))
    assert abs(found) <= abs(phi) + 1e-9


def test_agreement_is_one_minus_discordance():
    pair = Pair.agreeing(0.6, 0.05, 0.81)
    assert (pair.wins, pair.losses) == pytest.approx((0.12, 0.07))
    with pytest.raises(ConfigError, match="agreement:"):
        Pair.agreeing(0.6, 0.05, 0.96)
    with pytest.raises(ConfigError, match="agreement:"):
        Pair.agreeing(0.6, 0.05, 0.2)
