"""Optimal stopping with an imperfect verifier, against enumeration."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tts
from tests.budget.evidence import decide, sample
from tts.backends.simulated import SimulatedBackend, Step
from tts.budget import OptimalStopping
from tts.budget.optimal_stopping import utility
from tts.errors import ConfigError
from tts.strategies import FirstAccepted
from tts.types import Capability, Grant, Problem, Score, Stop, Usage

NOTEBOOK = OptimalStopping(
    types=((0.58, 0.87), (0.42, 0.13)),
    right_value=1,
    wrong_value=-0.7,
    sample_cost=0,
    completeness=1,
    soundness=0.75,
)

share = st.floats(0, 1)
rules = st.builds(
    lambda priors, rights, wrong, cost, complete, sound: OptimalStopping(
        types=tuple((p / sum(priors), r) for p, r in zip(priors, rights, strict=True)),
        wrong_value=wrong,
        sample_cost=cost,
        completeness=complete,
        soundness=sound,
        horizon=12,
    ),
    st.tuples(*[st.floats(0.01, 1)] * 3),
    st.tuples(share, share, share),
    st.floats(-3, 0.9),
    st.floats(0, 0.3),
    share,
    share,
)


def enumerated(rule, attempts):
    """Expected utility of resampling up to so many times: every history, one by one."""
    total = 0.0
    for prior, right in rule.types:
        alive = prior
        for drawn in range(1, attempts + 1):
            for good, chance in ((True, right), (False, 1 - right)):
                accepts = rule.completeness if good else 1 - rule.soundness
                total += alive * chance * accepts * _worth(rule, good, True, drawn)
            alive *= right * (1 - rule.completeness) + (1 - right) * rule.soundness
        total += alive * _worth(rule, False, False, attempts)
    return total


def _worth(rule, right, answered, samples):
    return utility(
        right,
        answered,
        samples,
        right_value=rule.right_value,
        wrong_value=rule.wrong_value,
        sample_cost=rule.sample_cost,
    )


def attempts_of(rule):
    """How many samples the controller grants while all are rejected."""
    shown = []
    for drawn in itertools.count():
        if isinstance(decide(rule, shown), Stop):
            return drawn
        shown.append(sample("x", score=0.0))


@pytest.mark.parametrize(
    ("wrong_value", "attempts", "expected"), [(-0.7, 3, 0.525), (-1, 2, 0.472), (-2, 1, 0.339)]
)
def test_vectors(wrong_value, attempts, expected):
    rule = replace(NOTEBOOK, wrong_value=wrong_value)
    assert attempts_of(rule) == attempts
    assert rule.expected_utility(attempts) == pytest.approx(expected, abs=5e-4)


@settings(deadline=None)
@given(rules, st.integers(0, 12))
def test_the_closed_form_is_the_enumeration(rule, attempts):
    assert rule.expected_utility(attempts) == pytest.approx(enumerated(rule, attempts), abs=1e-12)


@settings(max_examples=300, deadline=None)
@given(rules)
def test_the_rule_is_as_good_as_the_best_number_of_attempts(rule):
    best = max(enumerated(rule, attempts) for attempts in range(rule.horizon + 1))
    assert enumerated(rule, attempts_of(rule)) == pytest.approx(best, abs=1e-12)


@settings(deadline=None)
@given(rules)
def test_what_it_is_worth_at_the_start_is_the_optimum(rule):
    best = max(enumerated(rule, attempts) for attempts in range(rule.horizon + 1))
    assert rule.worth(0) == pytest.approx(best, abs=1e-12)


@settings(deadline=None)
@given(rules, st.integers(0, 30))
def test_the_posterior_is_bayes(rule, rejected):
    weights = [
        prior * (right * (1 - rule.completeness) + (1 - right) * rule.soundness) ** rejected
        for prior, right in rule.types
    ]
    if sum(weights) > 1e-200:
        expected = [weight / sum(weights) for weight in weights]
        assert rule.posterior(rejected) == pytest.approx(expected, abs=1e-9)


def test_many_rejections_do_not_underflow():
    rule = replace(NOTEBOOK, horizon=5000)
    assert sum(rule.posterior(4000)) == pytest.approx(1)
    assert rule.posterior(4000)[1] == pytest.approx(1)


def test_an_accepted_sample_ends_it_and_a_silent_one_is_rejected():
    assert "sample 2 was accepted" in decide(NOTEBOOK, [sample("a", 0.2), sample("b", 0.5)]).reason
    assert isinstance(decide(NOTEBOOK, [sample(None, 0.9)]), Grant)
    assert decide(NOTEBOOK, [sample("a", 0.0)] * 3).reason.startswith("abstain: ")


def test_samples_without_scores_are_a_mistake_that_is_named():
    with pytest.raises(ConfigError, match="without a score"):
        decide(NOTEBOOK, [sample("a")])


async def test_a_strategy_without_a_verifier_is_refused_before_anything_is_spent(world, problem):
    backend = world.backend()
    with pytest.raises(ConfigError, match="OptimalStopping reads scores, and the strategy Self"):
        await tts.solve(
            problem, strategy=tts.SelfConsistency(), backend=backend, controller=NOTEBOOK
        )
    assert backend.generated == 0


class Judge:
    """Accepts by chance: right answers with 1, wrong ones with 1/4."""

    requires: frozenset[Capability] = frozenset()
    partial = False

    def identity(self):
        return {"verifier": "chance"}

    def bound(self, problem, tokens, ctx):
        return Usage(verifier_calls=1)

    async def score(self, problem, trajectories, ctx):
        return [
            Score(float("right" in t.text or ctx.rng(t.key).random() < 0.25), "probability")
            for t in trajectories
        ]


async def test_simulated_problems_are_worth_what_the_model_says():
    """2,000 simulated problems of the notebook's two types; standard error 0.017."""

    def simulate(problem, node, seed):
        chance = 0.87 if random.Random(problem.id).random() < 0.58 else 0.13
        right = random.Random(seed).random() < chance
        return Step("right \\boxed{1}" if right else "\\boxed{2}", 1)

    total = 0.0
    problems = (Problem(str(i), prompt="?") for i in range(2000))
    async for result in tts.solve_all(
        problems,
        strategy=FirstAccepted(n=50),
        backend=SimulatedBackend(simulate),
        verifier=Judge(),
        controller=NOTEBOOK,
        max_tokens=1,
    ):
        answered = result.answer is not None
        total += _worth(NOTEBOOK, result.answer == "1", answered, result.usage.calls)
        assert result.usage.calls <= 3
    assert total / 2000 == pytest.approx(0.525, abs=0.05)
