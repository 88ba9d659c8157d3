"""Several samples in one request."""

from __future__ import annotations

import asyncio

import pytest

import tts
from tests.servers.fixtures import CHAT, GREEDY, ask, decode, until
from tests.servers.scripted import Act, tokens, written
from tts.types import Problem


async def test_samples_of_a_problem_share_requests(serve, connect):
    server = serve()
    backend = connect(server, choices=4)
    result = await tts.solve(CHAT, strategy=tts.SelfConsistency(n=10), backend=backend)
    sizes = sorted(call.body.get("n", 1) for call in server.calls)  # they arrive as they like
    assert sizes == [2, 4, 4]
    assert len({c.trajectory.text for c in result.candidates}) == 10
    assert result.usage.calls == 10
    assert result.usage.prompt_tokens == sum(call.prompt_tokens for call in server.calls)
    assert result.usage.completion_tokens == server.sent


async def test_other_problems_and_settings_share_no_request(serve, connect):
    server = serve()
    backend = connect(server, choices=8)
    requests = [
        ask(),
        ask(CHAT),
        ask(max_tokens=9),
        ask(sampling=GREEDY),
        ask(Problem("other", prompt="how?")),
    ]
    streams = await asyncio.gather(*(decode(backend, request) for request in requests))
    assert len(server.calls) == 5
    assert all("n" not in call.body for call in server.calls)
    assert streams[3].trajectory.text == written("why?", 0)


@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("n", ["ignored", "refused"])
async def test_a_server_without_n_is_asked_one_by_one_from_then_on(serve, connect, n, usage):
    server = serve(n=n, usage=usage)
    backend = connect(server, choices=4)
    streams = await asyncio.gather(*(decode(backend, ask()) for _ in range(4)))
    assert [call.body.get("n", 1) for call in server.calls] == [4, 1, 1, 1, 1][
        : 5 - (n == "ignored")
    ]
    streams += await asyncio.gather(*(decode(backend, ask()) for _ in range(3)))
    assert all("n" not in call.body for call in server.calls[1:])
    assert len({s.trajectory.text for s in streams}) == 7
    if usage:
        assert sum(s.usage.completion_tokens for s in streams) == server.sent
        prompts = sum(call.prompt_tokens for call in server.calls)
        assert sum(s.usage.prompt_tokens for s in streams) == prompts


async def test_shares_of_a_total_are_capped_and_add_up(serve, connect):
    server = serve()
    backend = connect(server, choices=8)
    streams = await asyncio.gather(*(decode(backend, ask(max_tokens=12)) for _ in range(8)))
    assert sum(s.usage.completion_tokens for s in streams) == server.sent
    for stream in streams:
        assert stream.usage.completion_tokens <= 12
        if stream.trajectory.finish == "length":
            assert stream.usage.completion_tokens == 12
            assert len(tokens(stream.trajectory.text)) == 12


async def test_seeds_are_drawn_one_by_one(serve, connect):
    server = serve(vllm=True)
    backend = connect(server, choices=4)
    result = await tts.solve(CHAT, strategy=tts.SelfConsistency(n=4), backend=backend)
    assert all("n" not in call.body for call in server.calls)
    assert len({call.body["seed"] for call in server.calls}) == 4
    again = await tts.solve(CHAT, strategy=tts.SelfConsistency(n=4), backend=backend)
    texts = [[c.trajectory.text for c in each.candidates] for each in (result, again)]
    assert texts[0] == texts[1]


async def test_who_leaves_a_shared_request_is_charged_its_cap(serve, connect):
    server = serve()
    server.usual = Act(hold=True)
    backend = connect(server, choices=3)

    async def leave():
        async with backend.open(ask(max_tokens=50)) as stream:
            await until(lambda: server.running == 1)
        return stream

    staying = [asyncio.create_task(decode(backend, ask(max_tokens=50))) for _ in range(2)]
    left = await leave()
    assert left.usage.completion_tokens == 50
    assert server.running == 1
    server.release()
    streams = await asyncio.gather(*staying)
    assert all(stream.trajectory.finish == "stop" for stream in streams)
    assert [call.body["n"] for call in server.calls] == [3]
    assert sum(s.usage.completion_tokens for s in (left, *streams)) >= server.sent


async def test_a_shared_request_that_all_leave_is_hung_up(serve, connect):
    server = serve()
    server.usual = Act(hold=True)
    backend = connect(server, choices=3)
    tasks = [asyncio.create_task(decode(backend, ask())) for _ in range(3)]
    await until(lambda: server.running == 1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: server.running == 0)
    assert len(server.calls) == 1
