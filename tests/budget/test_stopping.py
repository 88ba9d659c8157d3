"""Stopping rules against their closed forms."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, entropy, gamma

import tts
from tests.budget.evidence import candidates, decide, samples
from tts.backends.simulated import SimulatedBackend, Step
from tts.budget import (
    BetaStopping,
    DirichletStopping,
    EntropyStopping,
    Fixed,
    OptimalStopping,
    SaturationStopping,
    ShareStopping,
    WindowStopping,
)
from tts.budget.beta import lead_probability
from tts.budget.dirichlet import leading_probability
from tts.budget.entropy import normalised_entropy
from tts.budget.saturation import saturation
from tts.errors import ConfigError
from tts.types import Evidence, Grant, Stop

VOTING = [
    BetaStopping(),
    DirichletStopping(),
    EntropyStopping(),
    ShareStopping(),
    WindowStopping(),
]
RULES = [*VOTING, SaturationStopping(), SaturationStopping(p=0.3)]
each = pytest.mark.parametrize("rule", VOTING, ids=lambda r: type(r).__name__)
every = pytest.mark.parametrize("rule", RULES, ids=lambda r: type(r).__name__)

# (1,0) .75; (3,0) .9375; (4,0) .9688; (5,1) .9375; (6,1) .9648; (8,2) .9673
VECTORS = [
    (1, 0, 0.75),
    (3, 0, 0.9375),
    (4, 0, 0.9688),
    (5, 1, 0.9375),
    (6, 1, 0.9648),
    (8, 2, 0.9673),
]


# --- two answers --------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second", "expected"), VECTORS)
def test_lead_probability_vectors(first, second, expected):
    assert lead_probability(first, second) == pytest.approx(expected, abs=5e-5)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_lead_probability_is_the_beta_integral(first, second):
    assert lead_probability(first, second) == pytest.approx(
        beta.sf(0.5, first + 1, second + 1), abs=1e-9
    )


@pytest.mark.parametrize(
    ("votes", "stops"),
    [
        ({"a": 3}, False),
        ({"a": 4}, True),
        ({"a": 5, "b": 1}, False),
        ({"a": 6, "b": 1}, True),
        ({"a": 4, "b": 1, "c": 1}, False),
        ({}, False),
    ],
)
def test_beta_stopping_at_95_percent(votes, stops):
    assert isinstance(decide(BetaStopping(), candidates(**votes)), Stop) is stops


# --- more answers -------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_two_answers_are_the_beta_criterion(first, second):
    assert leading_probability((first, second)) == pytest.approx(lead_probability(first, second))


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=5))
def test_the_sum_is_the_integral_over_gamma_variables(counts):
    """Shares are gamma variables over their sum: the leader must be ahead of each rival."""
    lead, *rivals = (count + 1 for count in counts)

    def ahead(x):
        return gamma.pdf(x, lead) * math.prod(gamma.cdf(x, rival) for rival in rivals)

    integral, _ = quad(ahead, 0, 80, limit=200, epsabs=1e-10)
    assert leading_probability(tuple(counts)) == pytest.approx(integral, abs=1e-7)


@settings(deadline=None)
@given(st.lists(st.integers(0, 8), min_size=2, max_size=5))
def test_one_of_the_answers_leads(counts):
    turns = [(counts[i], *counts[:i], *counts[i + 1 :]) for i in range(len(counts))]
    assert sum(map(leading_probability, turns)) == pytest.approx(1)


def test_a_large_count_loses_no_digits():
    assert leading_probability((60, 50, 40, 30, 20)) == pytest.approx(0.825, abs=0.02)
    assert 0.999999 < leading_probability((200, 20, 10, 5, 1)) <= 1


def test_a_third_answer_keeps_dirichlet_from_stopping():
    votes = candidates(a=6, b=1, c=1, d=1)
    assert isinstance(decide(BetaStopping(), votes), Stop)
    assert leading_probability((6, 1, 1, 1)) < 0.95
    assert isinstance(decide(DirichletStopping(), votes), Grant)
    assert isinstance(decide(DirichletStopping(top=2), votes), Stop)


@settings(deadline=None)
@given(st.lists(st.sampled_from("ab"), max_size=20))
def test_below_three_answers_dirichlet_decides_as_beta(keys):
    shown = samples("".join(keys))
    assert type(decide(DirichletStopping(), shown)) is type(decide(BetaStopping(), shown))


# --- shares and entropies -----------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=2, max_size=8))
def test_normalised_entropy(counts):
    assert normalised_entropy(counts) == pytest.approx(entropy(counts, base=len(counts)), abs=1e-12)


@pytest.mark.parametrize(
    ("shown", "stops"),
    [("", False), ("a", False), ("aa", False), ("aaa", False), ("aaaa", True), ("ab", False),
     ("aaab", False), ("aaaab", True), ("aaaabc", False)],
)  # fmt: skip
def test_entropy_stopping_at_three_quarters(shown, stops):
    # (3,1): .811; (4,1): .722; (4,1,1): .790
    assert isinstance(decide(EntropyStopping(), samples(shown)), Stop) is stops


@pytest.mark.parametrize(
    ("shown", "stops"),
    [("", False), ("a", False), ("aa", True), ("ab", False), ("aaab", False), ("aaaab", True)],
)
def test_share_stopping_at_four_fifths(shown, stops):
    assert isinstance(decide(ShareStopping(), samples(shown)), Stop) is stops


# --- windows ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "granted"),
    [("", 3), ("a", 2), ("aab", 3), ("aabb", 2), ("aab.bb", 1), ("aab..bbb", 0), ("abbbba", 3),
     ("aaa", 0), ("aaab", 0)],
)  # fmt: skip
def test_windows_are_filled_and_the_first_unanimous_one_ends_it(shown, granted):
    decision = decide(WindowStopping(window=3), samples(shown))
    assert (decision.samples if isinstance(decision, Grant) else 0) == granted


# --- saturation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ceiling", "p", "gain", "expected"),
    [(0.8, 0.3, 0.01, 9), (0.9, 0.1, 0.01, 21), (0.9, 0.1, 0.001, 43)],
)
def test_saturation_vectors(ceiling, p, gain, expected):
    assert saturation(ceiling, p, gain) == expected


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(1e-4, 0.5))
def test_saturation_is_where_a_sample_adds_no_more_than_the_gain(ceiling, p, gain):
    n = saturation(ceiling, p, gain)
    assert ceiling * p * (1 - p) ** n <= gain * (1 + 1e-9)
    if n:
        assert ceiling * p * (1 - p) ** (n - 1) > gain * (1 - 1e-9)


def test_saturation_stopping_draws_just_as_many():
    rule, drawn = SaturationStopping(p=0.3, ceiling=0.8), ""
    while isinstance(decision := decide(rule, samples(drawn)), Grant):
        drawn += "ab.."[: decision.samples]
    assert len(drawn) == 9


def test_saturation_is_estimated_from_the_votes():
    assert isinstance(decide(SaturationStopping(), samples("aaaa")), Stop)
    assert isinstance(decide(SaturationStopping(), samples("ab..")), Grant)
    assert isinstance(decide(SaturationStopping(), ()), Grant)
    assert isinstance(decide(SaturationStopping(gain=0.5), samples(".....")), Stop)


# --- all of them --------------------------------------------------------------------------------


@each
def test_answers_that_cannot_be_read_do_not_vote(rule):
    assert isinstance(decide(rule, samples("." * 30), wants=3), Grant)
    loud, silent = samples("aabaaabaa"), samples("..a.aba.aaba.a")
    assert type(decide(rule, loud)) is type(decide(rule, silent))


@every
@settings(deadline=None)
@given(keys=st.text("abc.", max_size=30), wants=st.integers(1, 9))
def test_every_decision_has_a_reason_and_grants_within_wants(rule, keys, wants):
    decision = decide(rule, samples(keys), wants)
    assert decision.reason
    assert isinstance(decision, Stop) or 1 <= decision.samples <= wants


@every
def test_a_unanimous_crowd_is_stopped(rule):
    assert isinstance(decide(rule, samples("a" * 40)), Stop)


@every
async def test_rules_stop_self_consistency_early(rule, problem):
    backend = SimulatedBackend(lambda p, node, seed: Step("\\boxed{5}", 7))
    result = await tts.solve(
        problem, strategy=tts.SelfConsistency(n=40), backend=backend, controller=rule
    )
    assert result.usage.calls <= 10
    assert isinstance(result.decisions[-1], Stop) and result.status == "done"


def test_reasons_say_their_numbers():
    assert decide(BetaStopping(), samples("aaaa.")).reason == (
        "lead 4:0 is safe at 0.9688 (0.95 wanted); votes 4 (1 of 5 samples silent)"
    )
    assert "share 4/5 = 0.8000" in decide(ShareStopping(), samples("aaaab")).reason


def test_fixed_grants_what_is_wanted():
    evidence = {"p": Evidence((), 3), "q": Evidence((), 7)}
    granted = [(d.problem_id, d.samples) for d in Fixed().decide(evidence, None)]
    assert granted == [("p", 3), ("q", 7)]


def test_a_batch_at_most_is_granted():
    assert decide(BetaStopping(batch=4), ()).samples == 4
    assert decide(DirichletStopping(batch=4), (), wants=2).samples == 2


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (BetaStopping, {"threshold": 0.5}),
        (BetaStopping, {"threshold": 1.0}),
        (BetaStopping, {"batch": 0}),
        (DirichletStopping, {"top": 1}),
        (DirichletStopping, {"threshold": math.nan}),
        (EntropyStopping, {"threshold": 1}),
        (ShareStopping, {"threshold": 0}),
        (WindowStopping, {"window": 1}),
        (SaturationStopping, {"gain": 0}),
        (SaturationStopping, {"p": 1.1}),
        (SaturationStopping, {"ceiling": -1}),
        (OptimalStopping, {"types": ((0.5, 0.5),)}),
        (OptimalStopping, {"types": ((1, 1.5),)}),
        (OptimalStopping, {"completeness": 2}),
        (OptimalStopping, {"soundness": -1}),
        (OptimalStopping, {"sample_cost": -1}),
        (OptimalStopping, {"wrong_value": 1}),
        (OptimalStopping, {"right_value": math.inf}),
        (OptimalStopping, {"horizon": 0}),
    ],
)
def test_bad_settings_are_refused_by_name(kind, arguments):
    with pytest.raises(
        ConfigError, match=rf"^controller\.{next(iter(arguments))} (is|has) "
    ) as said:
        kind(**arguments)
    assert "\n" not in str(said.value)


def test_the_cost_of_a_decision_is_small_in_a_crowd():
    rng = random.Random(0)
    crowd = samples("".join(rng.choices("abcdefgh", k=400)))
    assert decide(DirichletStopping(), crowd).reason
