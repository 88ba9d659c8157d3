"""The confidence verifier: what it asks for, that its scores are rewards, and the contract."""

from __future__ import annotations

import math

import pytest
from pytest import approx

import tts
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import ConfigError, VerifierError
from tts.protocols import ReadsTop
from tts.solve import Setup
from tts.testing import check_verifier
from tts.types import Problem, Segment, Trajectory
from tts.verifiers import Confidence

PROBLEM = Problem("p", prompt="x")
EVEN = {0: math.log(0.5), 1: math.log(0.5)}
PEAK = {0: math.log(0.75), 1: math.log(0.25)}


def node(*tops):
    return Trajectory.root().extend(Segment("x", top_logprobs=tops), child=0, clock=1)


async def score(trajectory, **settings):
    (only,) = await Confidence(**{"top": 2, **settings}).score(PROBLEM, [trajectory], None)
    assert only.scale == "reward"
    return only.raw


@pytest.mark.parametrize("signal", ["self_certainty", "confidence", "entropy"])
@pytest.mark.parametrize("over", ["mean", "tail", "bottom", "lowest"])
async def test_it_keeps_the_contract(signal, over):
    answers = [node(EVEN, PEAK, PEAK), node(PEAK), node(EVEN), Trajectory.root()]
    await check_verifier(Confidence(signal, over, window=2, top=2), PROBLEM, answers)


async def test_scores_by_hand():
    answer = node(PEAK, EVEN, PEAK, PEAK)
    entropy = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    assert await score(answer, signal="entropy") == approx(-(3 * entropy + math.log(2)) / 4)
    assert await score(answer, signal="entropy", over="tail", window=2) == approx(-entropy)
    assert await score(answer, over="lowest", window=1) == approx(0.0, abs=1e-12)
    assert await score(answer, signal="confidence", over="lowest", window=1) == approx(math.log(2))


async def test_without_the_likeliest_tokens_it_is_an_error():
    bare = Trajectory.root().extend(Segment("x", logprobs=(-1.0,)), child=0, clock=1)
    with pytest.raises(VerifierError, match="likeliest"):
        await score(bare)


def test_the_likeliest_tokens_are_asked_for():
    backend = SimulatedBackend(lambda *_: Step("", 1))
    assert isinstance(Confidence(), ReadsTop)
    setup = Setup(strategy=tts.BestOfN(), backend=backend, verifier=Confidence(top=5))
    assert setup.logprobs == 5


@pytest.mark.parametrize(
    ("field", "value"), [("signal", "mood"), ("over", "sum"), ("window", 0), ("top", 1)]
)
def test_bad_settings_are_refused(field, value):
    with pytest.raises(ConfigError, match=f"verifier.{field}"):
        Confidence(**{field: value})


async def test_best_of_n_takes_the_surest_sample_by_every_signal():
    def simulate(problem, node, seed):
        sure = seed % 3 == 0
        return Step(f"\\boxed{{{int(sure)}}}", 5, logprob=-0.01 if sure else -1.0)

    for signal in ("self_certainty", "confidence", "entropy"):
        result = await tts.solve(
            "1 or 0?",
            strategy=tts.BestOfN(n=16),
            backend=SimulatedBackend(simulate),
            verifier=Confidence(signal),
        )
        assert result.answer == "1"


async def test_beginnings_are_judged_as_well():
    backend = SimulatedBackend(lambda *_: Step("so.\n\n", 4, final=False))
    result = await tts.solve(
        "?", strategy=tts.BeamSearch(n=2, width=2), backend=backend, verifier=Confidence(),
        max_tokens=16,
    )  # fmt: skip
    assert result.usage.verifier_calls > 0
