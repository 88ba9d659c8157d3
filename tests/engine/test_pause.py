"""An engine at rest: paused, resumed, closed and killed meanwhile, on the real engine."""

from __future__ import annotations

import asyncio
import os

import psutil
import pytest

from tests.engine_fixtures import other_peoples_warnings, spawned
from tts.backends.vllm import VLLMBackend
from tts.engine.notices import notes
from tts.errors import ConfigError, EngineDead, Unsupported
from tts.types import Problem, Request, Sampling, Trajectory

pytestmark = pytest.mark.engine

SMALL = {"max_model_len": 256, "kv_cache_gib": 0.1, "max_num_seqs": 8}
# Longer than a block, so that there is something in the prefix cache.
PROBLEM = Problem.chat("p", "12+7*3-5+40-6+11+12+13+14-15+16=")


async def decode(backend, **how):
    request = Request(PROBLEM, Trajectory.root(), **{"max_tokens": 120, "seed": 3, **how})
    async with backend.open(request) as stream:
        async for _ in stream:
            pass
    return stream


async def until(happened) -> None:
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.002)


async def test_what_is_in_flight_ends_and_the_rest_waits(vllm_backend):
    stats = vllm_backend.stats
    before = stats.finished.total()
    flights = [asyncio.create_task(decode(vllm_backend, seed=n)) for n in range(4)]
    await until(lambda: stats.running == 4)
    await vllm_backend.pause()
    assert vllm_backend.engine.state == "paused"
    assert (stats.requests, stats.finished.total() - before) == (0, 4)
    waiting = [asyncio.create_task(decode(vllm_backend, seed=n)) for n in range(3)]
    await until(lambda: stats.held == 3)
    waiting.pop().cancel()  # it leaves no trace
    await until(lambda: stats.held == 2)
    assert stats.requests == 0
    await vllm_backend.resume()
    assert vllm_backend.engine.state == "running"
    ended = await asyncio.gather(*flights, *waiting)
    assert all(stream.trajectory.finish in ("stop", "length") for stream in ended)
    assert ended[0].trajectory.text == ended[4].trajectory.text  # the same seed, before and after
    assert stats.held == 0


async def test_what_stands_still_goes_on_where_it_was(vllm_backend):
    stats = vllm_backend.stats
    alone = await decode(vllm_backend)
    flights = [asyncio.create_task(decode(vllm_backend, watch=bool(n % 2))) for n in range(4)]
    start = stats.generation_tokens
    await until(lambda: stats.generation_tokens > start + 40)
    await vllm_backend.pause("now")
    written, prompts = stats.generation_tokens, stats.prompt_tokens
    await asyncio.sleep(0.3)
    assert stats.generation_tokens == written
    assert stats.requests == 4
    late = asyncio.create_task(decode(vllm_backend))
    await until(lambda: stats.held == 1)
    flights[0].cancel()  # while it stands still
    with pytest.raises(asyncio.CancelledError):
        await flights[0]
    assert stats.requests == 3
    await vllm_backend.resume()
    for stream in await asyncio.gather(*flights[1:], late):
        assert stream.trajectory.text == alone.trajectory.text
        assert stream.usage.completion_tokens == alone.usage.completion_tokens
    # Nothing was prefilled again but the one that came late.
    assert stats.prompt_tokens - prompts == alone.usage.prompt_tokens


async def test_cached_prefixes_outlive_a_pause(vllm_backend):
    prompt = await decode(vllm_backend, max_tokens=60)
    await vllm_backend.pause("now")
    await vllm_backend.resume()
    again = await decode(vllm_backend, max_tokens=60)
    assert again.usage.prompt_tokens == prompt.usage.prompt_tokens
    assert again.usage.cached_tokens >= 32


async def test_pauses_that_contradict_each_other(vllm_backend):
    stats = vllm_backend.stats
    flight = asyncio.create_task(decode(vllm_backend, max_tokens=100))
    await until(lambda: stats.running == 1)
    await vllm_backend.pause("now")
    await vllm_backend.pause("now")
    # Those that stand still cannot end: they go on to do so.
    await vllm_backend.pause("drained")
    await flight
    assert vllm_backend.engine.state == "paused"
    await vllm_backend.resume()
    await vllm_backend.resume()
    assert vllm_backend.engine.state == "running"
    with pytest.raises(ConfigError, match="when is 'later'; it must be one of now, drained"):
        await vllm_backend.pause("later")
    assert (await decode(vllm_backend)).trajectory.finish in ("stop", "length")


async def test_a_pause_that_is_called_off_was_none(vllm_backend):
    flight = asyncio.create_task(decode(vllm_backend, max_tokens=900, sampling=Sampling(1.5)))
    await until(lambda: vllm_backend.stats.running == 1)
    pausing = asyncio.create_task(vllm_backend.pause())
    await until(lambda: vllm_backend.engine.state == "paused")
    pausing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pausing
    assert vllm_backend.engine.state == "running"
    flight.cancel()
    await asyncio.wait({flight})
    assert (await decode(vllm_backend)).trajectory.finish in ("stop", "length")


async def test_sleep_is_refused_on_a_processor(vllm_backend):
    if vllm_backend.engine.config.on_cuda:
        pytest.skip("this machine has a GPU")
    with pytest.raises(Unsupported) as error:
        await vllm_backend.sleep()
    assert error.value.message == (
        "The engine of mini-reasoner runs on a processor, where sleep frees no memory and requests"
        " would hang."
    )
    assert vllm_backend.engine.state == "running"
    await vllm_backend.wake()
    with pytest.raises(ConfigError, match="level is 3; it must be 1 or 2"):
        await vllm_backend.sleep(3)
    with pytest.raises(Unsupported, match="where sleep frees no memory"):
        VLLMBackend("mini-reasoner", {"enable_sleep_mode": True})


@pytest.mark.slow
async def test_an_engine_that_dies_and_one_that_is_closed_while_paused():
    claimed = len(ours())
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with other_peoples_warnings():
        async with VLLMBackend("mini-reasoner", SMALL) as backend:
            flights = [asyncio.create_task(decode(backend, seed=n)) for n in range(3)]
            await until(lambda: backend.stats.running == 3)
            assert len(ours()) == claimed + 1  # other processes know of its memory
            await backend.pause("now")
            held = asyncio.create_task(decode(backend))
            await until(lambda: backend.stats.held == 1)
            for child in spawned(before):
                child.kill()
            async with asyncio.timeout(10):
                outcomes = await asyncio.gather(*flights, return_exceptions=True)
            assert all(isinstance(outcome, EngineDead) for outcome in outcomes)
            assert backend.engine.state == "dead"
            assert backend.stats.finished["error"] == 3
            # Whoever waits in front of it has lost nothing.
            assert not held.done()
            await backend.resume()
            assert (await held).trajectory.finish in ("stop", "length")
            assert backend.stats.restarts == 1

            await backend.pause()
            held = asyncio.create_task(decode(backend))
            await until(lambda: backend.stats.held == 1)
        with pytest.raises(ConfigError, match="This engine was closed"):
            await held
    assert backend.stats.held == 0
    assert len(ours()) == claimed


def ours():
    """What engines of this process have claimed."""
    return [note for note in notes("engine") if note.process == os.getpid()]
