"""What is known, and refused, before anything is spent."""

from __future__ import annotations

import pytest

from tests.servers.fixtures import CHAT, TEXT, ask, closed_port, decode
from tts.backends.openai import OpenAIBackend
from tts.errors import CapabilityMissing, ConfigError, ModelNotFound
from tts.types import Capability, Sampling, Segment, Trajectory


def test_an_address_where_nobody_listens_is_named(connect):
    with pytest.raises(ConfigError, match=r"backend\.base_url"):
        OpenAIBackend("toy", f"http://127.0.0.1:{closed_port()}/v1")


def test_an_address_of_something_else_is_named(serve):
    server = serve()
    with pytest.raises(ConfigError, match=r"backend\.base_url"):
        OpenAIBackend("toy", server.url.removesuffix("/v1") + "/models-of-cars?x=1")


def test_an_address_without_its_end_is_named(serve):
    with pytest.raises(ConfigError, match=r"backend\.base_url") as caught:
        OpenAIBackend("toy", serve().url.removesuffix("/v1"))
    assert "/v1" in str(caught.value)


@pytest.mark.parametrize("user", ["me:sk-secret@", "sk-secret@"])
def test_an_address_with_a_password_is_refused_and_not_repeated(user):
    with pytest.raises(ConfigError, match=r"backend\.base_url") as caught:
        OpenAIBackend("toy", f"http://{user}127.0.0.1:1/v1")
    assert "secret" not in str(caught.value)
    assert caught.value.hint


def test_a_wrong_key_is_named_by_its_variable(serve, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-wrong-key-0")
    with pytest.raises(ConfigError, match="MY_KEY") as caught:
        OpenAIBackend("toy", serve(key="sk-right").url, api_key_env="MY_KEY")
    assert "wrong" not in str(caught.value)


def test_an_unknown_model_is_named_with_what_there_is(serve):
    with pytest.raises(ModelNotFound, match=r"'toi'.*'toy'"):
        OpenAIBackend("toi", serve().url)


async def test_a_server_without_a_list_of_models_is_taken_as_it_is(serve, connect):
    backend = connect(serve(listed=False))
    assert backend.capabilities == frozenset()
    await decode(backend, ask())


@pytest.mark.parametrize(
    ("traits", "how", "capabilities"),
    [
        ({}, {}, ""),
        ({}, {"api": "completions"}, "continuation"),
        ({}, {"seeds": True, "logprobs": True}, "logprobs seeds"),
        ({"vllm": True}, {}, "continuation logprobs seeds structured"),
        ({"vllm": True}, {"structured": False}, "continuation logprobs seeds"),
        ({}, {"structured": True}, "structured"),
        ({"vllm": True}, {"server": "generic"}, ""),
    ],
)
async def test_capabilities_are_known_at_once(serve, connect, traits, how, capabilities):
    server = serve(**traits)
    backend = connect(server, **how)
    assert backend.capabilities == {Capability(name) for name in capabilities.split()}
    assert server.calls == []


PART = Trajectory.root().extend(Segment("alpha1 "), child=0, clock=1)


@pytest.mark.parametrize(
    ("how", "request_", "error", "name"),
    [
        ({}, ask(sampling=Sampling(top_k=5)), ConfigError, "top_k"),
        ({}, ask(sampling=Sampling(min_p=0.1)), ConfigError, "min_p"),
        ({}, ask(CHAT, PART), CapabilityMissing, "continue"),
        ({}, ask(logprobs=0), CapabilityMissing, "og-probabilities"),
        ({"logprobs": True}, ask(logprobs=3), CapabilityMissing, "likeliest"),
        ({"api": "completions"}, ask(CHAT), ConfigError, r"backend\.api"),
        ({"api": "chat"}, ask(TEXT), ConfigError, r"backend\.api"),
        ({}, ask(stop=("",)), ConfigError, "stop string"),
        ({}, ask(max_tokens=0), ConfigError, "max_tokens"),
    ],
)
async def test_what_cannot_be_done_is_refused_by_name(serve, connect, how, request_, error, name):
    server = serve()
    with pytest.raises(error, match=name):
        await decode(connect(server, **how), request_)
    assert server.calls == []


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ({"choices": 0}, "choices"),
        ({"retries": -1}, "retries"),
        ({"stall_seconds": 0}, "stall_seconds"),
        ({"limits": {"in_flight": 0}}, "in_flight"),
        ({"limits": {"inflight": 1}}, "inflight"),
        ({"prices": {"prompt": -1}}, "prompt"),
        ({"tokenizer": "/no/where"}, "tokenizer"),
        ({"api": "chatty"}, "api"),
        ({"context": 0}, "context"),
    ],
)
def test_bad_settings_are_named(serve, how, name):
    with pytest.raises(ConfigError, match=name):
        OpenAIBackend("toy", serve().url, **how)


async def test_prices_and_weights_are_in_the_accounts(serve, connect):
    server = serve()
    prices = {"prompt": 3.0, "completion": 15.0}
    backend = connect(server, prices=prices, active_params=1000)
    usage = (await decode(backend, ask())).usage
    (call,) = server.calls
    assert usage.usd == pytest.approx((3 * call.prompt_tokens + 15 * call.completion_tokens) / 1e6)
    assert usage.flops == 2000 * (call.prompt_tokens + call.completion_tokens)


async def test_the_identity_is_that_of_the_model_not_of_the_port(serve, connect):
    one, two, other = connect(serve()), connect(serve()), connect(serve(vllm=True))
    assert one.identity() == two.identity() != other.identity()
    assert one.provenance()["urls"] != two.provenance()["urls"]
