"""The likelihood verifier is one over the perplexity of the model's own words."""

from __future__ import annotations

import math

import pytest

from tts.errors import VerifierError
from tts.types import Problem, Segment, Trajectory
from tts.verifiers import Likelihood

PROBLEM = Problem("p", prompt="x")


def node(*pieces):
    tip = Trajectory.root()
    for logprobs, origin in pieces:
        tip = tip.extend(Segment("x", logprobs=logprobs, origin=origin), child=0, clock=0)
    return tip


async def score(trajectory):
    (only,) = await Likelihood().score(PROBLEM, [trajectory], None)
    assert only.scale == "probability"
    return only.raw


async def test_it_is_the_geometric_mean():
    halves = (math.log(0.5), math.log(0.125))
    assert await score(node((halves, "model"))) == pytest.approx(0.25)
    assert await score(node((halves[:1], "model"), (halves[1:], "model"))) == pytest.approx(0.25)


async def test_injected_words_do_not_count():
    assert await score(node((None, "injected"), ((math.log(0.5),), "model"))) == pytest.approx(0.5)


async def test_length_alone_changes_nothing():
    assert await score(node(((-0.7,) * 3, "model"))) == pytest.approx(
        await score(node(((-0.7,) * 300, "model")))
    )


async def test_nothing_said_is_worth_nothing():
    assert await score(Trajectory.root()) == 0.0


async def test_missing_logprobs_are_an_error():
    with pytest.raises(VerifierError, match="log-probabilities"):
        await score(node((None, "model")))
