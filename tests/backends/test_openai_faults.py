"""A server that refuses, or replies with what is no answer: no failure becomes one."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from tests.servers.fixtures import (
    ANSWER,
    CHAT,
    GREEDY,
    SIZE,
    TEXT,
    FakeTime,
    accounts,
    ask,
    decode,
    text_of,
    truth,
)
from tests.servers.scripted import Act, tokens, written
from tts.errors import BackendError, ContextTooLong, EndpointDown
from tts.testing import check_backend

REFUSALS = [
    Act(429),
    Act(429, {"Retry-After": "7"}),
    Act(408),
    Act(409),
    Act(500),
    Act(503, body="<html>busy</html>"),
    Act(then="hang up"),
]
NO_ANSWERS = [
    Act(body="<html>It works!</html>"),
    Act(body="[]"),
    Act(body="{}"),
    Act(body='{"error": {"message": "overloaded"}}'),
    Act(empty=True),
    Act(finish="content_filter"),
    Act(finish="tool_calls"),
]
QUOTA = '{"error": {"message": "You exceeded your quota.", "code": "insufficient_quota"}}'
MODES = [
    ({"vllm": True}, {}, TEXT),
    ({"vllm": True}, {"api": "chat"}, CHAT),
    ({}, {"api": "completions"}, TEXT),
    ({}, {}, CHAT),
    ({"usage": False}, {"api": "completions"}, TEXT),
    ({"logprobs": True}, {"logprobs": True}, CHAT),
    ({"thinking": "reasoning"}, {}, CHAT),
]


@pytest.mark.parametrize(("traits", "how", "problem"), MODES)
async def test_it_keeps_the_contract_of_backends(serve, connect, traits, how, problem):
    await check_backend(connect(serve(**traits), **how), problem)


# --- refused before anything was generated --------------------------------------------------------


@pytest.mark.parametrize("watch", [False, True])
@pytest.mark.parametrize("act", REFUSALS, ids=str)
async def test_a_refused_request_is_repeated_and_paid_once(serve, connect, act, watch):
    server = serve()
    backend = connect(server)
    server.acts.extend([act, act])
    stream = await decode(backend, ask(watch=watch))
    assert text_of(stream) == written("why?", "2/0")
    assert accounts(stream) == truth(*server.calls)
    assert len(server.calls) == 3
    assert (backend.stats.requests, backend.stats.retries) == (3, 2)
    assert backend.stats.resent_prompt_tokens == 0


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honoured(serve, connect, status):
    server, time = serve(), FakeTime()
    server.acts.append(Act(status, {"Retry-After": "7"}))
    await decode(connect(server, time=time), ask())
    assert 7 <= sum(time.slept) <= 7.5


async def test_retry_after_may_be_a_date(serve, connect):
    server, fake = serve(), FakeTime()
    server.acts.append(Act(429, {"Retry-After": formatdate(time.time() + 90, usegmt=True)}))
    await decode(connect(server, time=fake), ask())
    assert 80 <= sum(fake.slept) <= 91


async def test_retry_after_beyond_patience_is_cut_to_it(serve, connect):
    server, time = serve(), FakeTime()
    server.acts.append(Act(429, {"Retry-After": "100000"}))
    await decode(connect(server, time=time, patience_seconds=20), ask())
    assert sum(time.slept) <= 20


async def test_waits_without_retry_after_grow_and_are_jittered(serve, connect):
    server, time = serve(), FakeTime()
    server.acts.extend([Act(429)] * 9)
    await decode(connect(server, time=time, retries=9), ask())
    assert len(time.slept) == 9
    assert all(0 <= wait <= min(30, 0.5 * 2**k) for k, wait in enumerate(time.slept))
    assert len(set(time.slept)) == 9
    assert max(time.slept) > 5


async def test_retries_end(serve, connect):
    server = serve()
    server.usual = Act(429)
    with pytest.raises(BackendError, match="3 attempts"):
        await decode(connect(server, retries=2), ask())
    assert len(server.calls) == 3


@pytest.mark.parametrize(
    "act", [Act(401), Act(403), Act(404), Act(402), Act(429, body=QUOTA)], ids=str
)
async def test_a_closed_door_is_not_knocked_at_again(serve, connect, act):
    server, time = serve(), FakeTime()
    server.usual = act
    with pytest.raises(EndpointDown) as caught:
        await decode(connect(server, time=time), ask())
    assert not caught.value.retryable
    assert len(server.calls) == 1
    assert time.slept == []


async def test_the_servers_word_on_the_context_is_ours(serve, connect):
    server = serve(context=50)
    with pytest.raises(ContextTooLong):
        await decode(connect(server), ask())


# --- replies that are no answers ------------------------------------------------------------------


@pytest.mark.parametrize("watch", [False, True])
@pytest.mark.parametrize("problem", [TEXT, CHAT], ids=["text", "chat"])
@pytest.mark.parametrize("act", NO_ANSWERS, ids=str)
async def test_what_is_no_answer_is_an_error(serve, connect, act, problem, watch):
    server = serve()
    server.usual = act
    with pytest.raises(BackendError):
        await decode(connect(server, retries=1), ask(problem, watch=watch))


@pytest.mark.parametrize("watch", [False, True])
@pytest.mark.parametrize("problem", [TEXT, CHAT], ids=["text", "chat"])
async def test_a_server_without_the_log_probabilities_it_was_said_to_have(
    serve, connect, problem, watch
):
    backend = connect(serve(), logprobs=True)
    with pytest.raises(BackendError, match="og-probabilities"):
        await decode(backend, ask(problem, logprobs=0, watch=watch))


@pytest.mark.parametrize("watch", [False, True])
@pytest.mark.parametrize("problem", [TEXT, CHAT], ids=["text", "chat"])
async def test_log_probabilities_are_those_of_the_tokens_that_are_kept(
    serve, connect, problem, watch
):
    for traits in ({"vllm": True}, {"logprobs": True}):
        backend = connect(serve(**traits), logprobs=True)
        stream = await decode(backend, ask(problem, sampling=GREEDY, logprobs=0, watch=watch))
        assert stream.trajectory.logprobs == tuple(-len(t) / 10 for t in tokens(ANSWER))
        assert stream.usage.completion_tokens == SIZE


@pytest.mark.parametrize("watch", [False, True])
async def test_a_server_that_ignores_the_cap_is_named_and_not_believed(serve, connect, watch):
    backend = connect(serve(obeys=False))
    with pytest.raises(BackendError, match="max_tokens"):
        async with backend.open(ask(max_tokens=5, watch=watch)) as stream:
            async for _ in stream:
                pass
    assert stream.usage.completion_tokens <= 5


async def test_an_error_inside_a_stream_is_an_error(serve, connect):
    server = serve()
    server.acts.append(Act(then="error", at=3))
    with pytest.raises(BackendError):
        await decode(connect(server), ask(CHAT, watch=True))
    assert len(server.calls) == 1
