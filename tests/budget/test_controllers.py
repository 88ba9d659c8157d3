"""Controllers against their closed forms, and the desk that brings them evidence."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from tts.budget import BetaStopping, Fixed, Pot
from tts.budget.beta import lead_probability
from tts.budget.desk import Desk
from tts.budget.pot import Budget
from tts.errors import ConfigError
from tts.types import Answer, Candidate, Evidence, Grant, Stop, Trajectory

POT = Pot(Budget())


def candidates(**votes: int) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(Trajectory.root(), Answer(key, key)) for key, n in votes.items() for _ in range(n)
    )


# (1,0) .75; (3,0) .9375; (4,0) .9688; (5,1) .9375; (6,1) .9648; (8,2) .9673
VECTORS = [
    (1, 0, 0.75),
    (3, 0, 0.9375),
    (4, 0, 0.9688),
    (5, 1, 0.9375),
    (6, 1, 0.9648),
    (8, 2, 0.9673),
]


@pytest.mark.parametrize(("first", "second", "expected"), VECTORS)
def test_lead_probability_vectors(first, second, expected):
    assert lead_probability(first, second) == pytest.approx(expected, abs=5e-5)


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
    evidence = {"p": Evidence(candidates(**votes), wants=10)}
    (decision,) = BetaStopping().decide(evidence, POT)
    assert isinstance(decision, Stop) is stops


def test_answers_that_cannot_be_read_do_not_vote():
    silent = tuple(Candidate(Trajectory.root(), None) for _ in range(10))
    (decision,) = BetaStopping().decide({"p": Evidence(silent, wants=3)}, POT)
    assert decision == Grant("p", 3)


def test_beta_stopping_grants_a_batch_at_most():
    (decision,) = BetaStopping(batch=4).decide({"p": Evidence((), wants=10)}, POT)
    assert decision == Grant("p", 4)


def test_fixed_grants_what_is_wanted():
    evidence = {"p": Evidence((), 3), "q": Evidence((), 7)}
    assert Fixed().decide(evidence, POT) == [Grant("p", 3), Grant("q", 7)]


@pytest.mark.parametrize("arguments", [{"threshold": 0.5}, {"threshold": 1.0}, {"batch": 0}])
def test_bad_settings_are_refused(arguments):
    with pytest.raises(ValueError, match=r"controller\."):
        BetaStopping(**arguments)


class Patient:
    """Decides only when two problems ask, and then only for the first."""

    def decide(self, evidence, pot):
        return [Grant(min(evidence), 1)] if len(evidence) == 2 else []


async def test_a_problem_without_a_decision_waits_for_another():
    desk = Desk(Patient(), POT)
    desk.enter()
    desk.enter()
    b = asyncio.create_task(desk.ask("b", Evidence((), 1)))
    await asyncio.sleep(0)
    assert not b.done()
    assert await desk.ask("a", Evidence((), 1)) == Grant("a", 1)
    assert not b.done()
    desk.leave()
    assert isinstance(await b, Stop), "alone, and nobody else can ever ask: stopped, not hung"


class Greedy:
    def decide(self, evidence, pot):
        return [Grant(p, e.wants + 1) for p, e in evidence.items()]


async def test_a_controller_that_grants_too_much_is_refused():
    desk = Desk(Greedy(), POT)
    desk.enter()
    with pytest.raises(ConfigError, match="granted 3 samples"):
        await desk.ask("p", Evidence((), 2))


class Stranger:
    def decide(self, evidence, pot):
        return [Stop("somebody else")]


async def test_a_decision_on_a_stranger_is_refused():
    desk = Desk(Stranger(), POT)
    desk.enter()
    with pytest.raises(ConfigError, match="did not ask"):
        await desk.ask("p", Evidence((), 2))
