"""The replay cache: equal requests at the same time, and requests when nothing may be asked."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

import tts
from tests.backends.letters import GREEDY, LETTERS, PROBLEM, Cut, ask, decode
from tts.backends._replay import stream as replayed
from tts.backends.replay import ReplayBackend
from tts.errors import ConfigError, ReplayMiss
from tts.testing import World


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


# --- at the same time -------------------------------------------------------------------------


async def test_of_equal_requests_one_is_paid(folder):
    inner = World().backend()
    async with ReplayBackend(inner, folder) as backend:
        request = ask(sampling=GREEDY)
        streams = await asyncio.gather(*(decode(backend, request) for _ in range(8)))
        assert (backend.stats.hits, backend.stats.misses) == (7, 1)
    assert {s.trajectory.text for s, _ in streams} == {streams[0][0].trajectory.text}
    assert inner.generated == streams[0][0].usage.completion_tokens


async def test_when_the_first_is_left_the_next_continues(folder):
    inner = Cut()
    async with ReplayBackend(inner, folder) as backend:
        request = ask(sampling=GREEDY, watch=True)
        async with backend.open(request) as first:
            waiting = asyncio.create_task(decode(backend, request))
            await anext(aiter(first))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiting.done()
        second, _ = await waiting
        assert (backend.stats.misses, backend.stats.partial_hits) == (1, 1)
    assert second.trajectory.finish == "stop"
    assert inner.generated == LETTERS


async def test_a_stream_that_nobody_reads_is_not_waited_for(folder, monkeypatch):
    monkeypatch.setattr(replayed, "_PATIENCE_SECONDS", 0.001)
    async with ReplayBackend(Cut(), folder) as backend, AsyncExitStack() as stack:
        for _ in range(3):  # one task, reading in lockstep
            stream = await stack.enter_async_context(backend.open(ask(sampling=GREEDY, watch=True)))
            await anext(aiter(stream))


async def test_one_that_is_cancelled_while_it_waits_holds_nobody_up(folder):
    async with ReplayBackend(Cut(), folder) as backend:
        async with backend.open(ask()) as first:
            waiting = asyncio.create_task(decode(backend, ask()))
            for _ in range(3):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            async for _ in first:
                pass
        await decode(backend, ask())
        assert (backend.stats.hits, backend.stats.misses) == (1, 1)
        assert backend.seats == {}


# --- offline ----------------------------------------------------------------------------------


async def test_offline_a_miss_says_so_and_nothing_is_started(folder):
    async with ReplayBackend(Cut(), folder) as backend:
        await decode(backend, ask(max_tokens=10, watch=True))
    inner = Cut()
    async with ReplayBackend(inner, folder, offline=True) as backend:
        await decode(backend, ask(max_tokens=10))
        for request in (ask(seed=2), ask(seed=None), ask(max_tokens=11)):
            with pytest.raises(ReplayMiss, match=r"lacks .* problem 'p', and nothing may be"):
                await decode(backend, request)
        left, _ = await decode(backend, ask(max_tokens=100, watch=True), leave=1)
        assert left.usage.completion_tokens > 0
        with pytest.raises(ReplayMiss) as caught:
            await decode(backend, ask(max_tokens=100, watch=True))
        assert not caught.value.retryable
    assert (inner.starts, inner.asked) == (0, [])


async def test_a_miss_costs_nothing(folder):
    async with ReplayBackend(Cut(), folder) as backend:
        await decode(backend, ask())
    spent = []
    async with ReplayBackend(Cut(), folder, offline=True) as backend:
        with pytest.raises(ReplayMiss):
            await tts.solve(PROBLEM, strategy=tts.Greedy(), backend=backend, on_event=spent.append)
    assert [e for e in spent if isinstance(e, tts.types.Spent)] == []


def test_offline_without_a_record_is_refused(folder):
    with pytest.raises(ConfigError, match=r"There is no replay cache .*replay\.sqlite"):
        ReplayBackend(Cut(), folder, offline=True)
    assert not folder.exists()
