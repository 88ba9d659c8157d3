"""Combinations of verifiers: what they say, what they pass on, and what they refuse."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifiers.answers import surroundings
from tests.verifiers.parts import PROBLEM, Loaded, Says, node, raws
from tts.errors import ConfigError, VerifierError
from tts.testing import LengthVerifier, check_verifier
from tts.types import Capability, Usage
from tts.verifiers import Likelihood, Mean, Minimum, Product, Weighted

ANSWERS = [node("a"), node("bb")]
PARTS = {"x": Says({"a": 0.5, "bb": 1.0}), "y": Says({"a": 0.2, "bb": 0.3}, name="other")}
KINDS = [Mean, Minimum, Product, lambda parts: Weighted(parts, dict.fromkeys(parts, 2))]


@pytest.mark.parametrize(
    ("verifier", "expected"),
    [
        (Mean(PARTS), [0.35, 0.65]),
        (Minimum(PARTS), [0.2, 0.3]),
        (Product(PARTS), [0.1, 0.3]),
        (Weighted(PARTS, {"x": 3, "y": 1}), [0.425, 0.825]),
        (Weighted(PARTS, {"y": 1, "x": 0}), [0.2, 0.3]),
    ],
    ids=lambda v: type(v).__name__,
)
async def test_what_they_make_of_two_opinions(verifier, expected):
    scores = await verifier.score(PROBLEM, ANSWERS, None)
    assert raws(scores) == pytest.approx(expected)
    assert {score.scale for score in scores} == {"probability"}


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.data())
async def test_no_combination_leaves_the_range_of_its_parts(chances, data):
    parts = {str(i): Says({"a": p}, name=str(i)) for i, p in enumerate(chances)}
    weight = st.floats(0.01, 1e6)
    weights = {name: data.draw(weight) for name in parts}
    low, high = min(chances), max(chances)
    for verifier in (Mean(parts), Minimum(parts), Weighted(parts, weights)):
        (score,) = await verifier.score(PROBLEM, [node("a")], None)
        # The smallest of all numbers has no half.
        assert low * (1 - 1e-12) - 1e-300 <= score.raw <= high * (1 + 1e-12)
    (product,) = await Product(parts).score(PROBLEM, [node("a")], None)
    assert product.raw <= low


@pytest.mark.parametrize("kind", KINDS)
async def test_they_keep_the_contract_with_a_part_that_must_be_started(kind):
    await check_verifier(kind({"long": Loaded(), "any": LengthVerifier()}), PROBLEM, ANSWERS)


async def test_what_parts_need_is_passed_on():
    verifier = Mean({"x": Loaded(), "y": Likelihood()})
    assert verifier.requires == {Capability.LOGPROBS}
    assert not verifier.partial and Mean({"y": Likelihood()}).partial
    assert (verifier.top, Mean({"y": Likelihood()}).top) == (5, 0)
    bound = Usage(verifier_calls=1, verifier_tokens=10, flops=20.0)
    assert verifier.bound(PROBLEM, 10, None) == bound
    twice = Mean({"x": Loaded(), "y": Loaded()})
    assert twice.bound(PROBLEM, 10, None) == Usage(verifier_calls=1, verifier_tokens=20, flops=40.0)


async def test_parts_are_charged_for_as_they_are_alone():
    ctx = surroundings()
    verifier = Mean({"x": Loaded(up=True), "y": Loaded(up=True)})
    await verifier.score(PROBLEM, ANSWERS, ctx)
    assert ctx.backend.account.usage.verifier_tokens == 2 * (1 + 2)


async def test_parts_are_started_and_closed_together():
    one, other = Loaded(), Loaded()
    verifier = Mean({"x": one, "inside": Minimum({"y": other}), "z": Likelihood()})
    await verifier.start()
    assert one.up and other.up
    await verifier.aclose()
    assert not one.up and not other.up


async def test_a_part_that_does_not_come_up_is_the_error():
    verifier = Mean({"x": Loaded(), "y": Loaded(ready=False)})
    with pytest.raises(VerifierError, match="not there"):
        await verifier.start()
    await verifier.aclose()


@pytest.mark.parametrize("kind", KINDS)
async def test_rewards_are_refused_and_logits_are_not(kind):
    mixed = kind({"x": Says({"a": 0.5}), "y": Says({"a": 7.0}, scale="reward")})
    with pytest.raises(VerifierError, match=r"verifier.parts.y gives rewards") as error:
        await mixed.score(PROBLEM, [node("a")], None)
    assert "calibrated" in error.value.hint
    (score,) = await kind({"x": Says({"a": 0.0}, scale="logit")}).score(PROBLEM, [node("a")], None)
    assert score.raw == 0.5


def test_identities_tell_method_parts_and_weights_apart():
    makes = [kind(PARTS) for kind in KINDS]
    makes += [Weighted(PARTS, {"x": 1, "y": 2}), Mean({"x": PARTS["x"]}), Mean({"z": PARTS["x"]})]
    assert len({str(made.identity()) for made in makes}) == len(makes)
    assert (
        Weighted(PARTS, {"x": 1, "y": 1}).identity() == Weighted(PARTS, {"y": 3, "x": 3}).identity()
    )


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Mean({}), "verifier.parts is empty"),
        (lambda: Mean({"x": None}), "verifier.parts.x is no verifier"),  # type: ignore[dict-item]
        (lambda: Weighted(PARTS, {"x": 1}), "verifier.weights names x; the parts are x, y"),
        (lambda: Weighted(PARTS, {"x": 1, "y": -1}), "verifier.weights.y is -1"),
        (lambda: Weighted(PARTS, {"x": 1, "y": float("nan")}), "verifier.weights.y is nan"),
        (lambda: Weighted(PARTS, {"x": 0, "y": 0}), "verifier.weights are all 0"),
    ],
)
def test_bad_input_is_named(make, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make()
