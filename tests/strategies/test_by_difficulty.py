"""Choice by difficulty: what the pilot says, what is done then, and which plans are refused."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

import tts
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import CapabilityMissing, ConfigError
from tts.strategies import Bin, ByDifficulty, Stepper
from tts.testing import LengthVerifier, check_strategy
from tts.types import Capability, ModelInfo, Problem

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
