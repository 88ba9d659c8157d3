"""Steering before it reaches an engine: texts become ids, and who cannot be steered says so."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tts.backends._replay.plan import key_of
from tts.backends._steering import in_ids
from tts.backends.arithmetic import simulated_arithmetic
from tts.backends.rehearsal import Rehearsal
from tts.backends.replay import ReplayBackend
from tts.backends.vllm import VLLMBackend
from tts.errors import CapabilityMissing, ConfigError
from tts.types import Capability, Problem, Request, Sampling, Steering, Trajectory

IDS = {"a": 0, "b": 1, "c": 2, "A": 0}.get
PROBLEM = Problem("p", prompt="What is it?")
REQUEST = Request(PROBLEM, Trajectory.root(), stop=("\n\n",), seed=7)
STEERING = Steering({"7": 2.0}, {"8": 2.0}, ("9",))
DRAFTS = {"extra": {"speculative_config": {"method": "ngram", "num_speculative_tokens": 2}}}


@pytest.fixture(scope="module")
def vllm():
    """Made, and never started."""
    return VLLMBackend("mini-reasoner")


async def opened(backend, steering):
    async with backend.open(replace(REQUEST, max_tokens=8, steering=steering)):
        pass


# --- from texts to ids --------------------------------------------------------------------------


def test_texts_become_ids():
    changes = in_ids(Steering({"a": 2.0, "b": -math.inf}, {"c": 0.5}), IDS)
    assert changes.bias == {0: 2.0, 1: -math.inf}
    assert changes.temperatures == {2: 0.5}


def test_two_spellings_of_one_token_act_together():
    changes = in_ids(Steering({"a": 2.0, "A": 1.0}, {"a": 2.0, "A": 1.5}), IDS)
    assert (changes.bias, changes.temperatures) == ({0: 3.0}, {0: 3.0})


def test_what_changes_nothing_is_left_out():
    changes = in_ids(Steering({"a": 0.0}, {"b": 1.0}), IDS)
    assert not changes.bias and not changes.temperatures


def test_banned_spellings_that_are_no_token_are_left_alone():
    assert in_ids(Steering(banned=("wait", "b", "b b")), IDS).bias == {1: -math.inf}


def test_a_ban_is_stronger_than_a_bias():
    assert in_ids(Steering({"b": 9.0}, banned=("b",)), IDS).bias == {1: -math.inf}


@pytest.mark.parametrize(
    ("steering", "words"),
    [
        (Steering({"wait": 1.0}), "'wait', which is not exactly one token"),
        (Steering(temperatures={"</think>": 2.0}), "'</think>', which is not exactly one token"),
        (Steering(banned=("wait", "hmm")), "None of the 2 spellings"),
        (Steering({"a": math.inf}), "'a' is inf"),
        (Steering({"a": math.nan}), "'a' is nan"),
        (Steering({"a": 1e9}), "'a' is 1000000000"),
        (Steering(temperatures={"b": 0.0}), "'b' is 0.0"),
        (Steering(temperatures={"b": math.nan}), "'b' is nan"),
        (Steering({"a": -math.inf}, banned=("b", "c")), "forbids every token"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(steering, words):
    with pytest.raises(ConfigError, match=words):
        in_ids(steering, IDS, vocabulary=3)


# --- who can be steered -------------------------------------------------------------------------


async def test_a_text_that_the_tokenizer_splits_is_refused_before_the_engine_starts(vllm):
    assert Capability.LOGITS_PROCESSORS in vllm.capabilities
    with pytest.raises(ConfigError, match="'</think>', which is not exactly one token"):
        await opened(vllm, Steering({"</think>": 1.0}))
    assert vllm.stats.prompt_tokens == 0


def test_a_token_that_begins_with_a_space_is_told_from_the_one_that_does_not(vllm):
    assert vllm.text.inner_id("\n\n") == vllm.text.token_id("\n\n") is not None
    assert vllm.text.inner_id(" => ") is not None
    assert vllm.text.inner_id("=>") is vllm.text.inner_id("Wait") is None


async def test_beside_speculative_decoding_the_engine_cannot_be_steered():
    backend = VLLMBackend("mini-reasoner", DRAFTS)
    assert Capability.LOGITS_PROCESSORS not in backend.capabilities
    with pytest.raises(CapabilityMissing, match="speculative decoding"):
        await opened(backend, STEERING)


async def test_backends_without_the_capability_refuse(tmp_path):
    simulated = simulated_arithmetic()
    assert Capability.LOGITS_PROCESSORS not in simulated.capabilities
    rehearsal = Rehearsal(simulated, lambda problem, seed: 10, lambda problem, seed: "")
    async with ReplayBackend(simulated, tmp_path) as replay:
        for backend in (simulated, rehearsal, replay):
            await opened(backend, None)
            with pytest.raises(CapabilityMissing, match="logits processors"):
                await opened(backend, STEERING)


async def test_a_server_that_is_sent_text_refuses(serve, connect):
    backend = connect(serve())
    assert Capability.LOGITS_PROCESSORS not in backend.capabilities
    with pytest.raises(CapabilityMissing, match="steered"):
        await opened(backend, STEERING)


# --- identities ---------------------------------------------------------------------------------


def test_what_is_not_steered_keeps_the_key_that_it_had():
    greedy = replace(REQUEST, sampling=Sampling(temperature=0.0))
    assert key_of("{}", REQUEST).hex() == "25aed881fa2a94cda526c7a2706290b31efc7ac6"
    assert key_of("{}", greedy).hex() == "3b07be25cf174e736e9559fe1f8dcdd92e01b752"


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.0)])
def test_draws_that_are_steered_otherwise_are_other_draws(sampling):
    ways = [
        None,
        Steering({"a": 1.0}),
        Steering({"a": -math.inf}),
        Steering({"b": 1.0}),
        Steering(temperatures={"a": 1.0}),
        Steering(banned=("a",)),
    ]
    keys = {key_of("{}", replace(REQUEST, sampling=sampling, steering=way)) for way in ways}
    assert len(keys) == len(ways)


def test_the_order_in_which_changes_are_named_does_not_matter():
    one = Steering({"a": 1.0, "b": 2.0}, banned=("c", "d"))
    other = Steering({"b": 2.0, "a": 1.0}, banned=("d", "c", "c"))
    steered = [key_of("{}", replace(REQUEST, steering=way)) for way in (one, other)]
    assert steered[0] == steered[1]


def test_an_engine_that_can_be_steered_is_still_the_same_engine(vllm):
    assert "logits_processors" not in vllm.identity()["engine"]
    foreign = VLLMBackend("mini-reasoner", {"extra": {"logits_processors": ["a:B"]}})
    assert foreign.identity()["engine"]["logits_processors"] == ["a:B"]
