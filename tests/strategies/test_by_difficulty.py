"""Choice by difficulty: what the pilot says, what is done then, and which plans are refused."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

import tts
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import CapabilityMissing, ConfigError
from tts.signals.pilot import VOTES, Glimpse
from tts.strategies import Bin, ByDifficulty, Stepper
from tts.strategies._rules import glimpses
from tts.testing import LengthVerifier, check_strategy
from tts.testing.worlds import MODEL as WORLD
from tts.types import Answer, Candidate, Capability, ModelInfo, Problem, Score, Segment, Trajectory

BINS = (
    Bin(tts.SelfConsistency(n=4), 0.99),
    Bin(tts.BestOfN(n=6), 0.5),
    Bin(tts.BeamSearch(n=4, width=2)),
)
MODEL = ModelInfo("simulated", tokenizer="letters")


def backend(n_answers):
    """Ten tokens an answer, of which there are so many different ones."""

    def simulate(problem, node, seed):
        end = f"\\boxed{{{random.Random(seed).randrange(n_answers)}}}"
        return Step(end, 10, True, random.Random(seed).random())

    return SimulatedBackend(simulate, MODEL)


async def solved(strategy, n_answers=1, **options):
    return await tts.solve(
        Problem("p", prompt="?"),
        strategy=strategy,
        backend=backend(n_answers),
        verifier=LengthVerifier(),
        max_tokens=100,
        **options,
    )


@pytest.mark.parametrize(
    "strategy",
    [
        ByDifficulty(bins=BINS),
        ByDifficulty(bins=BINS, signal="score", pilot=2),
        ByDifficulty(bins=(Bin(tts.WeightedBestOfN(n=6)),)),
    ],
    ids=["agreement", "score", "one bin"],
)
@pytest.mark.parametrize("controller", [tts.Fixed(), tts.BetaStopping(batch=3)])
async def test_contract(strategy, controller):
    await check_strategy(strategy, controller=controller)


async def test_the_pilot_is_part_of_a_vote():
    strategy = ByDifficulty(bins=(Bin(tts.SelfConsistency(n=6)),), pilot=4)
    result, alone = await solved(strategy, 3), await solved(tts.SelfConsistency(n=6), 3)
    assert result.usage.completion_tokens == alone.usage.completion_tokens == 60
    assert [c.trajectory.text for c in result.candidates] == [
        c.trajectory.text for c in alone.candidates
    ]
    assert result.answer == alone.answer


async def test_an_easy_problem_ends_with_its_pilot():
    result = await solved(ByDifficulty(bins=BINS))
    assert result.usage.completion_tokens == 40
    assert result.details == {"difficulty": 1.0, "bin": 0, "chosen": "SelfConsistency"}


async def test_a_pilot_without_scores_is_judged_when_the_choice_goes_by_scores():
    bins = (Bin(tts.BestOfN(n=6)),)
    result, alone = await solved(ByDifficulty(bins=bins), 5), await solved(tts.BestOfN(n=6), 5)
    assert len(result.candidates) == 6 and all(c.score for c in result.candidates)
    assert result.usage.verifier_calls == 6
    assert result.best.trajectory.text == alone.best.trajectory.text


async def test_a_search_begins_behind_the_pilot_and_pays_it():
    bins = (Bin(tts.BeamSearch(n=4, width=2)),)
    result = await solved(ByDifficulty(bins=bins), 50)
    alone = await solved(bins[0].strategy, 50)
    assert result.details["chosen"] == "BeamSearch" and "beams" in result.details
    assert result.usage.completion_tokens == alone.usage.completion_tokens + 40
    assert result.usage.sequential_tokens == alone.usage.sequential_tokens + 10
    assert result.best in result.candidates


async def test_a_budget_that_pays_the_pilot_alone_brings_its_answer():
    bins = (Bin(tts.BeamSearch(n=4, width=2)),)
    result = await solved(ByDifficulty(bins=bins), budget=tts.Budget(calls=4))
    assert result.answer == "0" and result.status == "exhausted"


def test_it_needs_what_any_of_its_choices_needs():
    assert Capability.PARTIAL_SCORES in ByDifficulty(bins=BINS).requires
    assert ByDifficulty().requires == frozenset()
    assert ByDifficulty(signal="score").requires == {Capability.VERIFIER}


async def test_a_choice_that_needs_a_verifier_is_refused_before_the_pilot():
    with pytest.raises(CapabilityMissing, match="needs a verifier"):
        await tts.solve("?", strategy=ByDifficulty(bins=BINS), backend=backend(1))


@pytest.mark.parametrize("begun", [0, 70])
def test_a_sample_counts_from_where_it_was_begun(begun):
    node = Trajectory.root(clock=begun)
    for child in (0, 1):
        node = node.extend(Segment("x"), child=child, clock=node.clock + 15)
    judged = Candidate(node.scored(Score(0.5, "logit")), Answer("3", "3"))
    assert glimpses([judged]) == [Glimpse("3", Score(0.5, "logit"), 30)]
    assert glimpses([Candidate(Trajectory.root(clock=begun), None)]) == [Glimpse(None, None, 0)]


# --- files --------------------------------------------------------------------------------------

PLAN: dict[str, Any] = {
    "kind": "bins",
    "model": {"model": "simulated", "tokenizer": "letters"},
    "signal": "agreement",
    "pilot": 3,
    "bins": [
        {"least": 0.9, "strategy": {"_target_": "tts.strategies.SelfConsistency", "n": 3}},
        {
            "least": None,
            "strategy": {
                "_target_": "tts.strategies.BeamSearch",
                "n": 4,
                "stepper": {"_target_": "tts.strategies.Stepper", "max_steps": 7},
            },
        },
    ],
    "budget": 500,
    "n_problems": 100,
}


@pytest.fixture
def plan(tmp_path):
    def write(**changes):
        path = tmp_path / "plan.json"
        path.write_text(json.dumps(PLAN | changes))
        return str(path)

    return write


async def test_a_file_says_all(plan):
    strategy = ByDifficulty(plan=plan(), pilot=9, signal="score")
    assert (strategy.pilot, strategy.signal) == (3, "agreement")
    assert strategy.bins[1] == Bin(tts.BeamSearch(n=4, stepper=Stepper(max_steps=7)))
    assert (await solved(strategy)).usage.completion_tokens == 30


@pytest.mark.parametrize(
    "model",
    [
        {"model": "other", "tokenizer": "letters"},
        {"model": "simulated", "tokenizer": "words"},
        {"model": "simulated"},
    ],
)
async def test_another_model_is_refused_and_nothing_is_spent(plan, model):
    with pytest.raises(ConfigError, match="was fitted to answers of"):
        await solved(ByDifficulty(plan=plan(model=model)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pilot": 0}, "is no plan"),
        ({"bins": []}, "is no plan"),
        ({"odd": 1}, "is no plan"),
        ({"bins": PLAN["bins"][:1]}, "leaves out the most difficult"),
        ({"bins": PLAN["bins"][::-1]}, "leaves out the most difficult"),
        ({"bins": [{"least": None, "strategy": {"_target_": "os.system"}}]}, "is no strategy"),
        ({"bins": [{"least": None, "strategy": {"_target_": "tts.Nothing"}}]}, "there is no"),
        ({"bins": [{"least": None, "strategy": {"n": 3}}]}, "is no strategy"),
        ({"bins": [{"least": None, "strategy": {"_target_": "tts.Score", "raw": 1.0,
          "scale": "reward"}}]}, "is no strategy"),
        ({"bins": [{"least": None, "strategy": {"_target_": "tts.BestOfN", "m": 3}}]},
         "cannot be made"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_plan_is_refused(plan, changes, said):
    with pytest.raises(ConfigError, match=said):
        ByDifficulty(plan=plan(**changes))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="cannot be read"):
        ByDifficulty(plan="/no/such/plan.json")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"pilot": 0}, r"strategy\.pilot is 0"),
        ({"signal": "mood"}, r"strategy\.signal is 'mood'"),
        ({"bins": ()}, "leaves out the most difficult"),
        ({"bins": (BINS[1], BINS[0], BINS[2])}, "a bin from 0.99 follows one from 0.5"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        ByDifficulty(**wrong)


# --- regressions --------------------------------------------------------------------------------


def flat(value):
    """Weights that say the same of every pilot."""
    return [0.0] * len(VOTES) + [value]


def by_share(weight, value):
    return [weight] + [0.0] * (len(VOTES) - 1) + [value]


REGRESSION: dict[str, Any] = {
    "kind": "regression",
    "model": {"model": "simulated", "tokenizer": "letters"},
    "signal": "agreement",
    "pilot": 4,
    "price": 0.001,
    "options": [
        {  # right as often as the answers agree
            "strategy": {"_target_": "tts.strategies.SelfConsistency", "n": 4},
            "right": by_share(8.0, -4.0),
            "tokens": flat(math.log(40)),
        },
        {
            "strategy": {"_target_": "tts.strategies.BestOfN", "n": 6},
            "right": flat(2.0),
            "tokens": flat(math.log(60)),
        },
    ],
    "budget": 50,
    "n_problems": 100,
}


@pytest.fixture
def regression(tmp_path):
    def write(**changes):
        path = tmp_path / "regression.json"
        path.write_text(json.dumps(REGRESSION | changes))
        return str(path)

    return write


async def test_a_regression_weighs_chances_against_tokens(regression):
    strategy = ByDifficulty(plan=regression())
    agreed, split = await solved(strategy, 1), await solved(strategy, 50)
    assert agreed.details["chosen"] == "SelfConsistency" and len(agreed.candidates) == 4
    assert agreed.details["chance"] == pytest.approx(1 / (1 + math.exp(-4)))
    assert agreed.details["tokens"] == pytest.approx(40)
    assert split.details["chosen"] == "BestOfN" and len(split.candidates) == 6
    assert split.usage.completion_tokens == 60


async def test_a_dear_token_makes_the_cheap_option_the_choice(regression):
    result = await solved(ByDifficulty(plan=regression(price=1.0)), 50)
    assert result.details["chosen"] == "SelfConsistency"


async def test_a_regression_keeps_the_contract(regression):
    await check_strategy(
        ByDifficulty(plan=regression(model={"model": WORLD.name, "tokenizer": WORLD.tokenizer}))
    )


async def test_without_scores_that_it_reads_the_first_option_is_taken(regression):
    def widened(weights):
        return [*weights[:-1], 0.0, 0.0, 0.0, weights[-1]]

    options = [
        {**o, "right": widened(o["right"]), "tokens": widened(o["tokens"])}
        for o in REGRESSION["options"]
    ]
    strategy = ByDifficulty(plan=regression(signal="score", options=options))
    assert Capability.VERIFIER in strategy.requires
    assert (await solved(strategy, 50)).details["option"] == 1
    assert strategy._rule.choose([Glimpse("a", None, 10)]) == (0, {"option": 0})
    assert strategy._rule.choose([]) == (0, {"option": 0})


async def test_a_regression_of_another_model_is_refused(regression):
    with pytest.raises(ConfigError, match="was fitted to answers of"):
        await solved(ByDifficulty(plan=regression(model={"model": "other"})))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "guess"}, "is no plan"),
        ({"price": -1.0}, "is no plan"),
        ({"options": []}, "is no plan"),
        ({"signal": "score"}, "has 7 weights where signal=score takes 10"),
    ],
)
def test_a_file_that_is_no_regression_is_refused(regression, changes, said):
    with pytest.raises(ConfigError, match=said):
        ByDifficulty(plan=regression(**changes))
