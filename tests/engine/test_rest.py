"""Sleep, where no GPU is: what is asked of vLLM in which order, and the memory that is planned."""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine_fixtures import other_peoples_warnings
from tts.engine import EngineConfig, EngineStats, Hardware, Shape, check, memory, resolve
from tts.engine.hardware import GIB
from tts.engine.memory import Tenant
from tts.engine.rest import Rest
from tts.errors import ConfigError, EngineDead, Unsupported

H100 = Hardware(16, 128.0, cuda_devices=1, cuda_capability=(9, 0), cuda_memory_gib=80.0)
SHAPE = Shape(28, 28, 4, 128, 7 * 10**9, 4096, 14 * GIB, "bfloat16")


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch):
    monkeypatch.setattr(memory, "_TENANTS", weakref.WeakSet())


class Sleeper:
    """Has the methods of `AsyncLLM` that sleep is made of, as vLLM 0.32 declares them."""

    def __init__(self, *, dies=False):
        self.said, self.errored, self._dies = [], False, dies

    async def sleep(self, level=1, mode="abort"):
        self.said.append(("sleep", level))

    async def wake_up(self, tags=None):
        if self._dies:
            self.errored = True
            await asyncio.sleep(60)
        self.said.append(("wake_up", tags))
        return True

    async def collective_rpc(self, method):
        self.said.append(("collective_rpc", method))


def rest_of(tenant=None, **given):
    config = resolve(EngineConfig(enable_sleep_mode=True, **given), H100, Path("x"), SHAPE)
    tenant = tenant or Tenant(config.footprint)
    tenant.move_in()
    tenant.settle([])
    claimed = []
    stats = EngineStats()
    return Rest(config, stats, tenant, set(), claimed.append), tenant, stats, claimed


def test_vllm_has_the_methods():
    with other_peoples_warnings():
        from vllm.v1.engine.async_llm import AsyncLLM

    for name in ("sleep", "wake_up", "collective_rpc", "pause_generation", "resume_generation"):
        assert callable(getattr(AsyncLLM, name))


@pytest.mark.parametrize(
    ("level", "woken"),
    [
        (1, [("wake_up", None)]),
        (
            2,
            [
                ("wake_up", ["weights"]),
                ("collective_rpc", "reload_weights"),
                ("wake_up", ["kv_cache"]),
            ],
        ),
    ],
)
async def test_a_night(level, woken):
    rest, tenant, stats, claimed = rest_of()
    llm = Sleeper()
    awake = tenant.taken
    await rest.sleep(llm, level)
    await rest.sleep(llm, level)  # once is enough
    assert (rest.asleep, rest.paused, llm.said) == (True, True, [("sleep", level)])
    assert tenant.taken == tenant.footprint.beside < awake
    waiting = asyncio.create_task(rest.passed())
    await asyncio.sleep(0)
    assert stats.held == 1
    for forbidden in (rest.pause(llm), rest.resume(llm)):
        with pytest.raises(ConfigError, match=r"is asleep\. Call wake"):
            await forbidden
    await rest.wake(llm)
    await waiting
    assert (rest.asleep, rest.paused, stats.held) == (False, False, 0)
    assert llm.said[1:] == woken
    assert tenant.taken == awake
    assert claimed == [tenant.footprint.beside, awake]
    await rest.wake(llm)
    assert len(llm.said) == 1 + len(woken)


async def test_another_engine_takes_the_memory_of_one_that_sleeps():
    rest, tenant, _, _ = rest_of(model="first")
    llm = Sleeper()
    other = Tenant(replace(tenant.footprint, name="second"))
    with pytest.raises(ConfigError, match="do not fit on one GPU of 80 GiB together"):
        other.settle([tenant])
    await rest.sleep(llm)
    assert other.settle([tenant])["gpu_memory_utilization"] == pytest.approx((72 - 4) / 80)
    other.move_in()
    with pytest.raises(ConfigError) as error:
        await rest.wake(llm)
    assert error.value.message == (
        "first cannot wake: it needs 72.0 GiB of a GPU of 80 GiB, and second has 68.0 GiB."
    )
    assert rest.asleep
    other.move_out()
    await rest.wake(llm)
    assert not rest.asleep


async def test_what_another_process_has_taken_is_not_taken_back():
    rest, tenant, _, _ = rest_of()
    llm = Sleeper()
    await rest.sleep(llm)

    def taken(gib):
        raise ConfigError("It is taken.")

    rest._claim = taken
    with pytest.raises(ConfigError, match="It is taken"):
        await rest.wake(llm)
    assert rest.asleep and tenant.taken == tenant.footprint.beside


async def test_death_in_sleep_is_told():
    rest, _, stats, _ = rest_of()
    llm = Sleeper(dies=True)
    await rest.sleep(llm)
    waiting = asyncio.create_task(rest.passed())
    with pytest.raises(EngineDead):
        await rest.wake(llm)
    await waiting  # the next request starts it again
    assert stats.held == 0


async def test_sleep_that_cannot_be_had():
    rest, tenant, _, _ = rest_of()
    with pytest.raises(ConfigError, match="is not running, so it cannot sleep"):
        await rest.sleep(None)
    config = resolve(EngineConfig(), H100, Path("x"), SHAPE)
    with pytest.raises(ConfigError) as error:
        await Rest(config, EngineStats(), tenant, set(), print).sleep(Sleeper())
    assert error.value.hint == "Set model.engine.enable_sleep_mode to true."
    processor = Hardware(8, 64.0)
    config = EngineConfig(enable_sleep_mode=True)
    with pytest.raises(Unsupported, match="frees no memory"):
        check(config, resolve(config, processor, Path("x"), SHAPE), processor, SHAPE, others=())
