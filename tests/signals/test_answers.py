"""Of an answer only what the model wrote itself counts, and what is unknown is an error."""

from __future__ import annotations

import math

import pytest
from pytest import approx

from tts.errors import BackendError, VerifierError
from tts.signals.answers import certainty, confidences_of, likelihood
from tts.types import Segment, Trajectory

EVEN = {0: math.log(0.5), 1: math.log(0.5)}
PEAK = {0: math.log(0.75), 1: math.log(0.25)}
ROOT = Trajectory.root()


def written(*pieces):
    node = ROOT
    for number, (origin, tops) in enumerate(pieces):
        segment = Segment("x", top_logprobs=tops, origin=origin)
        node = node.extend(segment, child=0, clock=number)
    return node


def test_only_what_the_model_wrote_counts():
    node = written(("model", ({0: -1.0},)), ("injected", None), ("model", ({0: -3.0},)))
    assert confidences_of(node, 1) == [1, 3]
    assert certainty(node, "confidence", top=1) == 2.0


def test_what_was_cut_in_its_middle_is_left_out():
    node = written(("model", (PEAK, EVEN)), ("model", None))
    assert certainty(node, "entropy", top=2) == approx(
        -(math.log(2) + 0.75 * math.log(4 / 3) + 0.25 * math.log(4)) / 2
    )


def test_without_any_it_is_a_fault():
    node = ROOT.extend(Segment("x", logprobs=(-0.5,)), child=0, clock=1)
    with pytest.raises(BackendError, match="likeliest"):
        confidences_of(node, 1)
    with pytest.raises(VerifierError, match="likeliest"):
        certainty(node, "self_certainty")
    with pytest.raises(VerifierError, match="log-probabilities"):
        likelihood(written(("model", None)))


@pytest.mark.parametrize("signal", ["confidence", "self_certainty", "entropy"])
@pytest.mark.parametrize("over", ["mean", "tail", "bottom", "lowest"])
def test_nothing_said_is_worth_as_little_as_an_even_distribution(signal, over):
    nothing = certainty(ROOT, signal, over, 2, 2)
    assert nothing <= certainty(written(("model", (EVEN,) * 3)), signal, over, 2, 2) + 1e-12
    assert nothing < certainty(written(("model", (PEAK,) * 3)), signal, over, 2, 2)


def test_the_lowest_window_is_the_least_sure_whatever_is_read():
    node = written(("model", (PEAK, EVEN, PEAK, PEAK)))
    for signal in ("confidence", "self_certainty", "entropy"):
        low, high = (certainty(written(("model", (t,))), signal, top=2) for t in (EVEN, PEAK))
        assert certainty(node, signal, "lowest", 1, 2) == approx(low)
        assert certainty(node, signal, "lowest", 2, 2) == approx((low + high) / 2)
        assert certainty(node, signal, "tail", 2, 2) == approx(high)
