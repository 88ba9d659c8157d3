"""What one more sample is worth: against enumeration, integrals, and common sense."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import betabinom, norm

from tts.budget import _gain
from tts.budget._gain import CONCENTRATIONS, Scores, Urns, gain_of_vote


def urn(lead, rival, rest, draws):
    """Expected votes of the rival above the leader's after so many draws, by all sequences."""
    total = 0.0
    for path in itertools.product(range(3), repeat=draws):
        balls, chance = [float(lead), float(rival), rest], 1.0
        for colour in path:
            chance *= balls[colour] / sum(balls)
            balls[colour] += 1
        total += chance * max(0.0, balls[1] - balls[0])
    return total


@pytest.mark.parametrize(("lead", "rival"), [(1, 1), (2, 1), (3, 1), (2, 2)])
@pytest.mark.parametrize("draws", [1, 3, 5])
def test_being_overtaken_is_what_all_sequences_of_draws_say(lead, rival, draws):
    mass = lead + rival + 1.7
    expected = urn(lead, rival, 1.7, draws) / (mass + draws)
    assert _gain._overtaken(lead, rival, float(rival), mass, draws) == pytest.approx(expected)


@given(st.integers(0, 12), st.integers(0, 12), st.floats(0.1, 9), st.floats(0.1, 9))
def test_the_law_of_hits_is_the_beta_binomial(hits, more, for_, against):
    found = _gain._beta_binomial(hits, hits + more, for_, against)
    assert found == pytest.approx(betabinom.pmf(hits, hits + more, for_, against), rel=1e-6)


def test_a_tie_is_worth_what_can_be_worked_out_by_hand():
    # Of two answers with a vote each, mass 2 + 1: the next vote falls on the rival with 1/3, whose
    # share is then one fourth above the leader's; the answer that nobody has given cannot lead yet.
    one = _gain._overtaken(1, 1, 1.0, 3.0, 1)
    assert one == pytest.approx(1 / 3 / 4)
    assert gain_of_vote((1, 1), 0, 1.0) >= one


def test_closer_calls_are_worth_more():
    gains = [gain_of_vote(votes, 0, 1.0) for votes in [(4, 4), (5, 3), (6, 2), (7, 1), (8,)]]
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] < gains[0] / 20


def test_the_same_share_is_worth_less_the_more_is_known():
    gains = [gain_of_vote((3 * k, 2 * k), 0, 1.0) for k in (1, 2, 4, 6)]
    assert gains == sorted(gains, reverse=True)


def test_hopeless_problems_are_worth_little_when_the_batch_has_others():
    # Twenty problems agree, and twenty never do.
    urns = Urns.fitted([(8, 2)] * 20 + [(8, 8)] * 20)
    hopeless, close = urns.concentration(8, 8), urns.concentration(8, 2)
    assert hopeless > 8 * close
    assert gain_of_vote((1,) * 8, 0, hopeless) < gain_of_vote((4, 4), 0, close) / 4


def test_silent_samples_make_a_problem_less_worth():
    assert gain_of_vote((2, 1), 9, 1.0) < gain_of_vote((2, 1), 0, 1.0)
    gains = [gain_of_vote((), silent, 1.0) for silent in (1, 4, 16)]
    assert gains == sorted(gains, reverse=True) and 0 < gains[-1] < 0.01


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=6),
    st.integers(0, 4),
    st.sampled_from(CONCENTRATIONS),
)
def test_a_gain_is_a_rate_between_0_and_1(votes, silent, concentration):
    gain = gain_of_vote(tuple(sorted(votes, reverse=True)), silent, concentration)
    assert 0 <= gain <= 1


def test_the_law_of_kinds_is_that_of_ewens():
    # Over all numbers of kinds, with the numbers of permutations by cycles, it adds up to 1.
    cycles = {1: 6, 2: 11, 3: 6, 4: 1}
    for place, a in enumerate(CONCENTRATIONS):
        rise = math.prod(a + i for i in range(4))
        assert sum(c * a**k / rise for k, c in cycles.items()) == pytest.approx(1)
        two, four = _gain._likelihood(4, 2), _gain._likelihood(4, 4)
        top = max(b**2 / math.prod(b + i for i in range(4)) for b in CONCENTRATIONS)
        assert two[place] == pytest.approx(a**2 / rise / top)
        assert max(four) == 1


def test_urns_find_the_two_kinds_of_problems_that_there_are():
    urns = Urns.fitted([(20, 1)] * 50 + [(20, 19)] * 50)
    low = sum(w for w, a in zip(urns.weights, CONCENTRATIONS, strict=True) if a < 1)
    assert sum(urns.weights) == pytest.approx(1)
    assert low == pytest.approx(0.5, abs=0.05)


def test_without_evidence_all_urns_are_alike():
    assert len(set(Urns.fitted([]).weights)) == 1
    assert len(set(Urns.fitted([(1, 1), (0, 0)]).weights)) == 1


def test_the_improvement_of_a_reward_is_the_integral():
    spread = Scores(mean=0.0, between=4.0, within=1.0, bounded=False)
    shrink = 4 / (4 + 1 / 2)
    mean, deviation = shrink * 1.5, math.sqrt(1 + shrink / 2)
    expected, _ = quad(lambda x: (x - 2) * norm.pdf(x, mean, deviation), 2, 20)
    assert spread.gain([1.0, 2.0]) == pytest.approx(expected, rel=0.03)


def test_low_scores_make_a_problem_hopeless_faster_than_chance():
    batch = [[0.9, 0.8, 0.95], [0.5, 0.7, 0.3], [0.02, 0.01, 0.03], [0.6, 0.2, 0.4]]
    spread = Scores.fitted(batch, bounded=True)
    gains = [spread.gain(each) for each in batch]
    assert gains[2] < gains[1] and gains[0] < gains[1]
    assert spread.gain([0.01] * 8) < spread.gain([0.01] * 2)


def test_one_problem_alone_has_a_gain_too():
    assert Scores.fitted([[0.5]], bounded=True).gain([0.5]) > 0
