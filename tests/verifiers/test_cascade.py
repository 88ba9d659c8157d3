"""The cascade asks the dear verifier where the cheap one is in doubt, and nowhere else."""

from __future__ import annotations

import pytest

from tests.verifiers.answers import surroundings
from tests.verifiers.parts import PROBLEM, Loaded, Says, node, raws
from tts.errors import ConfigError, VerifierError
from tts.testing import LengthVerifier, check_verifier
from tts.types import Usage
from tts.verifiers import Cascade

CHEAP = {"a": 0.1, "b": 0.2, "c": 0.5, "d": 0.8, "e": 0.9}
DEAR = dict.fromkeys("abcde", 0.66)
ANSWERS = [node(text) for text in CHEAP]


async def test_the_dear_one_judges_the_doubtful_ones_only_ends_included():
    dear = Says(DEAR)
    scores = await Cascade(Says(CHEAP), dear).score(PROBLEM, ANSWERS, None)
    assert raws(scores) == [0.1, 0.66, 0.66, 0.66, 0.9]
    assert dear.judged == ["b", "c", "d"]


async def test_without_doubt_nobody_is_asked():
    dear = Says({})
    scores = await Cascade(Says(CHEAP), dear, low=0.3, high=0.4).score(PROBLEM, ANSWERS, None)
    assert raws(scores) == list(CHEAP.values())
    assert dear.judged == []


async def test_the_contract_and_the_sum_of_bounds():
    verifier = Cascade(LengthVerifier(), Loaded(), low=0.0, high=0.5)
    await check_verifier(verifier, PROBLEM, ANSWERS)
    assert verifier.bound(PROBLEM, 7, None) == Usage(verifier_calls=1, verifier_tokens=7, flops=14)
    assert not verifier.partial


async def test_only_what_was_asked_is_paid():
    ctx = surroundings()
    await Cascade(Says(CHEAP), Loaded(up=True)).score(PROBLEM, ANSWERS, ctx)
    assert ctx.backend.account.usage.verifier_tokens == 3


async def test_rewards_cannot_be_held_against_thresholds():
    rewards = Says({"a": 3.0}, scale="reward")
    with pytest.raises(VerifierError, match=r"verifier.cheap gives rewards"):
        await Cascade(rewards, Says(DEAR)).score(PROBLEM, ANSWERS[:1], None)
    with pytest.raises(VerifierError, match=r"verifier.dear gives rewards"):
        await Cascade(Says({"a": 0.5}), rewards).score(PROBLEM, ANSWERS[:1], None)


@pytest.mark.parametrize("ends", [(0.6, 0.4), (-0.1, 0.5), (0.5, 1.1)])
def test_thresholds_that_are_no_interval_are_refused(ends):
    with pytest.raises(ConfigError, match="0 <= low <= high <= 1"):
        Cascade(Says(CHEAP), Says(DEAR), *ends)


def test_thresholds_are_part_of_its_identity():
    one, other = Cascade(Says(CHEAP), Says(DEAR)), Cascade(Says(CHEAP), Says(DEAR), high=0.7)
    assert one.identity() != other.identity()
    with pytest.raises(ConfigError, match=r"verifier.dear is no verifier"):
        Cascade(Says(CHEAP), None)
