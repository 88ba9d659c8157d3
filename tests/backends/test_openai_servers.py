"""Several servers of one model, and limits of what is sent to them."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from tests.servers.fixtures import GREEDY, FakeTime, ask, closed_port, decode, until
from tests.servers.scripted import Act, written
from tts.backends.openai import OpenAIBackend
from tts.errors import EndpointDown
from tts.types import Problem

PROBLEMS = [Problem(f"p{i}", prompt=f"{i}?") for i in range(6)]


def asked(server):
    return [call.body["prompt"] for call in server.calls]


# --- several servers ------------------------------------------------------------------------------


@pytest.mark.parametrize("ill", [Act(500), Act(then="hang up")], ids=str)
async def test_a_dead_server_is_left_alone_and_another_one_serves(serve, connect, ill):
    dead, well, time = serve(), serve(), FakeTime()
    dead.usual = ill
    backend = connect(dead, well, time=time)
    for number in range(20):
        problem = Problem(f"{number}", prompt=f"{number}?")
        stream = await decode(backend, ask(problem, sampling=GREEDY))
        assert stream.trajectory.text == written(f"{number}?", 0)
    assert backend.stats.ejections == 1
    assert 3 <= len(dead.calls) <= 5
    assert len(well.calls) == 20


async def test_a_server_that_recovers_serves_again(serve, connect):
    ill, well, time = serve(), serve(), FakeTime()
    ill.acts.extend([Act(500)] * 3)
    backend = connect(ill, well, time=time)
    for number in range(10):
        await decode(backend, ask(Problem(f"{number}", prompt=f"{number}?")))
    time.now += 120
    for number in range(10, 20):
        await decode(backend, ask(Problem(f"{number}", prompt=f"{number}?")))
    assert len(ill.calls) >= 3 + 4


async def test_a_refusal_for_load_ejects_nobody(serve, connect):
    server = serve()
    server.acts.extend([Act(429)] * 5)
    backend = connect(server)
    await decode(backend, ask())
    assert backend.stats.ejections == 0


@pytest.mark.parametrize("ill", [Act(503), Act(then="hang up")], ids=str)
async def test_when_nobody_answers_patience_ends(serve, connect, ill):
    servers, time = [serve(), serve()], FakeTime()
    for server in servers:
        server.usual = ill
    backend = connect(*servers, time=time, patience_seconds=300, retries=1000)
    with pytest.raises(EndpointDown, match="300 s") as caught:
        await decode(backend, ask())
    assert not caught.value.retryable
    assert 300 <= time.now - 1000 <= 420
    assert sum(len(server.calls) for server in servers) < 60  # and nobody was pestered


async def test_a_server_that_is_away_at_the_start_is_left_out(serve, connect, caplog):
    server = serve()
    with caplog.at_level(logging.WARNING, "tts.backends.openai"):
        backend = OpenAIBackend("toy", [f"http://127.0.0.1:{closed_port()}/v1", server.url])
    assert "nothing answers" in caplog.text
    streams = await asyncio.gather(*(decode(backend, ask(p)) for p in PROBLEMS))
    assert len(server.calls) == len(streams)
    await backend.aclose()


async def test_a_problem_stays_where_its_prefix_is(serve, connect):
    servers = [serve(), serve(), serve()]
    backend = connect(*servers)
    for seed in range(6):
        for problem in random.Random(seed).sample(PROBLEMS, len(PROBLEMS)):
            await decode(backend, ask(problem))
    homes = [set(asked(server)) for server in servers]
    assert all(homes)
    assert sum(map(len, homes)) == len(PROBLEMS)


async def test_a_problem_moves_when_its_server_is_far_busier(serve, connect):
    one, other = serve(), serve()
    backend = connect(one, other)
    for server in (one, other):
        server.usual = Act(hold=True)
    drawing = [asyncio.create_task(decode(backend, ask())) for _ in range(12)]
    await until(lambda: one.running + other.running == 12)
    assert min(one.running, other.running) >= 3
    one.release()
    other.release()
    await asyncio.gather(*drawing)


# --- limits ---------------------------------------------------------------------------------------


async def test_no_more_are_in_flight_than_the_limit_says(serve, connect):
    server = serve()
    server.usual = Act(hold=True)
    backend = connect(server, limits={"in_flight": 4})
    drawing = [asyncio.create_task(decode(backend, ask(watch=i % 2 > 0))) for i in range(20)]
    await until(lambda: server.running == 4)
    await asyncio.sleep(0.1)
    assert server.running == 4
    server.release()
    await asyncio.gather(*drawing)
    assert server.peak == 4
    assert len(server.calls) == 20
    assert server.connections <= 4 + 1  # one asked for the models


async def test_tokens_a_minute_are_kept(serve, connect):
    server, time = serve(), FakeTime()
    backend = connect(server, time=time, limits={"tokens_per_minute": 600})
    streams = await asyncio.gather(*(decode(backend, ask(max_tokens=50)) for _ in range(100)))
    used = sum(stream.usage.total_tokens for stream in streams)
    assert used > 1000
    assert time.now - 1000 >= (used - 600) / 10
    assert time.now - 1000 <= used / 10 + 30  # what is not used is given back
