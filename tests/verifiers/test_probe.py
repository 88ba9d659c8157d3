"""The probe: features by hand, a fit that finds what is there, and files of one model."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifiers.answers import surroundings
from tests.verifiers.parts import PROBLEM, node, raws
from tts import BestOfN
from tts._author import Author
from tts.errors import ConfigError, VerifierError
from tts.solve import Setup
from tts.testing import World, check_verifier
from tts.testing.worlds import MODEL
from tts.types import Segment, Trajectory
from tts.verifiers import Probe
from tts.verifiers.fitting import fit_logistic, fit_probe, sigmoid
from tts.verifiers.probe import GROUP, ProbeFit, Written, features

HERE = Author(model=MODEL.name, tokenizer=MODEL.tokenizer)
LINE = {"weights": (1.0, 2.0, 0.5, -0.1, 0.3), "offset": 1.0}


@pytest.fixture
def file(tmp_path):
    def write(model=HERE):
        path = tmp_path / "probe.json"
        path.write_text(ProbeFit(model=model, n_problems=3, n_answers=9, **LINE).text())
        return path

    return write


def test_features_by_hand():
    logprobs = [-1.0] * GROUP + [-3.0, -3.0]
    found = features(logprobs, True)
    lowest = -(GROUP - 2 + 6) / GROUP  # the last group holds both doubtful tokens
    assert found == pytest.approx((-22 / 18, lowest, lowest, math.log(19), 1.0))
    assert features(logprobs[::-1], False)[1:3] == pytest.approx((lowest, -1.0))
    assert features([-0.5, -1.5], False) == pytest.approx((-1, -1, -1, math.log(3), 0))


@settings(deadline=None)
@given(st.lists(st.floats(-20, 0), min_size=1, max_size=100))
def test_the_lowest_group_is_the_lowest(logprobs):
    size = min(GROUP, len(logprobs))
    naive = [math.fsum(logprobs[i : i + size]) / size for i in range(len(logprobs) - size + 1)]
    mean, lowest, last, _, _ = features(logprobs, False)
    assert lowest == pytest.approx(min(naive), abs=1e-9)
    assert last == pytest.approx(naive[-1], abs=1e-9)
    assert mean == pytest.approx(math.fsum(logprobs) / len(logprobs), abs=1e-9)


async def test_a_score_is_the_sigmoid_of_the_line(file):
    answers = [node("a", (-1.0, -2.0)), node("b", (-1.0, -2.0), finish="length")]
    scores = await Probe(file()).score(PROBLEM, [*answers, Trajectory.root()], surroundings())
    line = 1.0 - 1.5 * 3.5 - 0.1 * math.log(3)
    expected = [1 / (1 + math.exp(-line - 0.3)), 1 / (1 + math.exp(-line)), 0.0]
    assert raws(scores) == pytest.approx(expected)


async def test_the_contract_on_whole_and_partial_answers(file):
    answers = [node("a", (-0.1,) * 40), node("bb", (-2.0,), finish="length")]
    verifier = Probe(file())
    await check_verifier(verifier, PROBLEM, answers)
    assert verifier.partial


async def test_injected_words_do_not_count_and_missing_ones_are_an_error(file):
    one = node("a", (-1.0, -2.0))
    injected = Segment("Wait", origin="injected")
    more = one.extend(injected, child=0, clock=9, finish="stop")
    scores = await Probe(file()).score(PROBLEM, [one, more], surroundings())
    assert scores[0] == scores[1]
    with pytest.raises(VerifierError, match="log-probabilities"):
        await Probe(file()).score(PROBLEM, [node("a")], surroundings())


def test_logistic_regression_finds_the_line_that_made_the_data():
    rng = np.random.default_rng(0)
    table = rng.normal([2.0, -1.0, 0.0], [1.0, 3.0, 0.0], (20_000, 3))
    right = rng.random(20_000) < sigmoid(table @ [1.0, -0.5, 0.0] + 0.7)
    weights, offset = fit_logistic(table, right.astype(float), 0.0)
    assert weights == pytest.approx([1.0, -0.5, 0.0], abs=0.06)
    assert offset == pytest.approx(0.7, abs=0.15)
    pulled, _ = fit_logistic(table, right.astype(float), 1e6)
    assert np.abs(pulled).max() < 0.02


def made(n, seed=0):
    """Answers that waver somewhere are wrong, three times out of four."""
    rng = random.Random(seed)
    for number in range(n):
        wavers = rng.random() < 0.5
        logprobs = [-rng.random() for _ in range(rng.randint(20, 120))]
        if wavers:
            logprobs[10:15] = [-4.0] * 5
        right = rng.random() < (0.25 if wavers else 0.75)
        yield Written(str(number % 50), tuple(logprobs), True, right), wavers


def test_a_fit_sees_from_sixteen_tokens_on_that_an_answer_wavered():
    fit = fit_probe([answer for answer, _ in made(600)], HERE)
    assert fit.n_problems == 50
    for size in (GROUP, 10**6):
        cut = [(answer.logprobs[:size], wavers) for answer, wavers in made(200, seed=1)]
        steady = [fit.chance(c, size > GROUP) for c, wavers in cut if not wavers]
        unsteady = [fit.chance(c, size > GROUP) for c, wavers in cut if wavers]
        assert np.mean(steady) == pytest.approx(0.75, abs=0.08)
        assert np.mean(unsteady) == pytest.approx(0.25, abs=0.08)
    assert ProbeFit.model_validate_json(fit.text()) == fit


def test_beginnings_are_taken_at_doubling_lengths():
    answer = Written("p", (-1.0,) * 70, True, True)
    assert [(len(c), ended) for c, ended in answer.beginnings()] == [
        (16, False), (32, False), (64, False), (70, True),
    ]  # fmt: skip
    assert [len(c) for c, _ in Written("p", (-1.0,) * 16, True, True).beginnings()] == [16]


def test_answers_of_one_kind_teach_nothing():
    with pytest.raises(ConfigError, match="All 1 answers to fit on are right"):
        fit_probe([Written("p", (-1.0,), True, True)], HERE)


def test_another_model_and_another_file_are_refused_by_name(file, tmp_path):
    path = file(Author(model="llama"))
    with pytest.raises(ConfigError, match="of llama, and these are of simulated") as error:
        Setup(strategy=BestOfN(n=2), backend=World().backend(), verifier=Probe(path))
    assert "--fit-probe FILE" in error.value.hint
    with pytest.raises(ConfigError, match="of llama, and these are of qwen"):
        Probe(path).check(type(MODEL)("qwen"), "w")
    with pytest.raises(ConfigError, match=r"the probe .*nowhere\.json cannot be read"):
        Probe(tmp_path / "nowhere.json")


def test_fits_are_told_apart(file):
    one = Probe(file()).identity()
    path = file()
    path.write_text(path.read_text().replace("2.0", "3.0"))
    assert Probe(path).identity() != one
