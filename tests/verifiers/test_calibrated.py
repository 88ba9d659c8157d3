"""Calibration: curves against closed forms, and files that fit one verifier and one model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifiers.answers import surroundings
from tests.verifiers.parts import PROBLEM, Loaded, Says, node, raws
from tts import BestOfN
from tts._author import Author
from tts.errors import ConfigError, VerifierError
from tts.solve import Setup
from tts.testing import World, check_verifier
from tts.testing.worlds import MODEL
from tts.types import ModelInfo
from tts.verifiers import Calibrated, Calibration, Mean
from tts.verifiers.curves import Isotonic, Platt
from tts.verifiers.fitting import fit_curve

REWARDS = Says({"a": -3.0, "b": 0.0, "c": 5.0}, scale="reward")
ANSWERS = [node(text) for text in "abc"]
CURVE = Isotonic(xs=(-1.0, 1.0), ys=(0.25, 0.75))
HERE = Author(model=MODEL.name, tokenizer=MODEL.tokenizer)


@pytest.fixture
def file(tmp_path):
    def write(verifier=REWARDS, model=HERE, scale="reward", curve=CURVE):
        about = {"model": model, "n_problems": 5, "n_answers": 9, "scale": scale, "curve": curve}
        calibration = Calibration(verifier=dict(verifier.identity()), **about)
        path = tmp_path / "calibration.json"
        path.write_text(calibration.text())
        return path

    return write


async def test_scores_become_the_shares_of_the_curve(file):
    scores = await Calibrated(REWARDS, file()).score(PROBLEM, ANSWERS, surroundings())
    assert raws(scores) == pytest.approx([0.25, 0.5, 0.75])
    assert {score.scale for score in scores} == {"probability"}


async def test_calibrated_rewards_can_be_combined(file):
    both = Mean({"x": Calibrated(REWARDS, file()), "y": Says(dict.fromkeys("abc", 1.0))})
    scores = await both.score(PROBLEM, ANSWERS, surroundings())
    assert raws(scores) == pytest.approx([0.625, 0.75, 0.875])


async def test_the_contract_with_a_verifier_that_must_be_started(file):
    path = file(Loaded(), Author(model=World().backend().model.name), "probability")
    verifier = Calibrated(Loaded(), path)
    await check_verifier(verifier, PROBLEM, ANSWERS)
    assert (verifier.partial, verifier.top) == (False, 5)
    assert verifier.requires == Loaded().requires


def test_pooled_violators_by_hand():
    # Means 0, 1, 1/2, 1 at the scores 1, 2, 3, 4: the middle two pool to 2/3 of three answers.
    curve = fit_curve([1, 1, 2, 3, 3, 4], [False, False, True, True, False, True],
                      "reward", "isotonic")  # fmt: skip
    assert (curve.xs, curve.ys) == ((1, 2, 3, 4), pytest.approx((0, 2 / 3, 2 / 3, 1)))
    assert curve.chances([0, 1.5, 2.5, 9]) == pytest.approx([0, 1 / 3, 2 / 3, 1])


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.booleans()), min_size=2, max_size=40))
def test_a_fitted_step_curve_rises_keeps_the_mean_and_survives_its_file(pairs):
    raws_, right = zip(*pairs, strict=True)
    if len(set(right)) < 2:
        return
    curve = fit_curve(raws_, right, "reward", "isotonic")
    chances = np.array(curve.chances(sorted(raws_)))
    assert np.all(np.diff(chances) >= 0)
    assert chances.mean() == pytest.approx(np.mean(right))
    assert Isotonic.model_validate_json(curve.model_dump_json()) == curve


def test_platt_finds_the_closed_form_of_two_scores():
    # With two scores the sigmoid meets both means of the targets, 3 of 4 and 1 of 4, exactly.
    raws_, right = [0.0] * 4 + [1.0] * 4, [True, False, False, False, True, True, True, False]
    curve = fit_curve(raws_, right, "reward", "platt")
    high, low = (4 + 1) / (4 + 2), 1 / (4 + 2)
    at0, at1 = (high + 3 * low) / 4, (3 * high + low) / 4
    assert curve.chances([0.0, 1.0]) == pytest.approx([at0, at1], abs=1e-5)


def test_platt_on_probabilities_works_on_their_logits():
    curve = Platt(scale="probability", slope=1.0, offset=0.0)
    assert curve.chances([0.0, 0.3, 1.0]) == pytest.approx([1e-6, 0.3, 1 - 1e-6])
    assert Platt(scale="reward", slope=2.0, offset=1.0).chances([0.5]) == pytest.approx(
        [1 / (1 + math.exp(-2))]
    )


def test_a_clean_split_makes_no_certainty():
    curve = fit_curve([0.0, 1.0] * 5, [False, True] * 5, "reward", "platt")
    assert curve.chances([0.0, 1.0]) == pytest.approx([1 / 7, 6 / 7], abs=1e-4)


def test_answers_of_one_kind_teach_nothing():
    with pytest.raises(ConfigError, match="All 2 answers to fit on are right"):
        fit_curve([0.1, 0.2], [True, True], "probability", "platt")


def test_another_verifier_is_refused_by_the_field_that_differs(file):
    path = file(Says({"a": 1.0}, scale="reward", name="other"))
    with pytest.raises(ConfigError, match="its verifier is 'other', here it is 'says'") as error:
        Calibrated(REWARDS, path)
    assert "tts verifier-report" in error.value.hint


def test_another_model_is_refused_by_name_before_anything_is_spent(file):
    path = file(model=Author(model="llama", tokenizer="t", weights="0123456789"))
    verifier = Mean({"x": Calibrated(REWARDS, path)})
    sentence = r"fitted on answers of llama \(weights 01234567\), and these are of simulated"
    with pytest.raises(ConfigError, match=sentence) as error:
        Setup(strategy=BestOfN(n=2), backend=World().backend(), verifier=verifier)
    assert "--fit FILE" in error.value.hint


def test_models_are_told_apart_by_their_weights(file):
    verifier = Calibrated(REWARDS, file(model=Author(model="a", weights="one")))
    verifier.check(ModelInfo("/a/path", tokenizer="x"), "one")
    with pytest.raises(ConfigError):
        verifier.check(ModelInfo("a"), "two")
    verifier.check(ModelInfo("a"), None)


async def test_another_scale_than_in_the_fit_is_an_error(file):
    with pytest.raises(VerifierError, match=r"scale reward; the calibration .* for logit"):
        await Calibrated(REWARDS, file(scale="logit")).score(PROBLEM, ANSWERS, surroundings())


@pytest.mark.parametrize("content", [None, "", "[]", '{"format": "tts.probe"}', "CURVE"], ids=str)
def test_what_is_no_calibration_is_refused(content, file):
    path = file()
    if content is None:
        path.unlink()
    elif content == "CURVE":
        path.write_text(path.read_text().replace("0.25", "0.95"))  # falls
    else:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"verifier\.path: .*calibration") as error:
        Calibrated(REWARDS, path)
    assert "--fit FILE" in error.value.hint
