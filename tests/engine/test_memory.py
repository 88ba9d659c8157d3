"""How engines share memory: by hand, and for any sizes that fit."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tts.engine import EngineConfig, Hardware, Shape, check, memory, resolve
from tts.engine.engine import Engine
from tts.engine.hardware import GIB
from tts.engine.memory import Footprint, Tenant, beside, shares, tenants
from tts.errors import ConfigError

PLAIN = Hardware(2, 16.0, frozenset({"avx2"}))
H100 = Hardware(16, 128.0, cuda_devices=1, cuda_capability=(9, 0), cuda_memory_gib=80.0)
WRITER = Shape(28, 28, 4, 128, 7 * 10**9, 4096, 14 * GIB, "bfloat16")
JUDGE = replace(WRITER, head="token", labels=2, pooling_task="token_classify")


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch):
    """The engines of other tests, which are still running, take nothing here."""
    monkeypatch.setattr(memory, "_TENANTS", weakref.WeakSet())


def settled(hardware, shape, role, **given):
    return resolve(EngineConfig(**given), hardware, Path("somewhere"), shape, role)


def tenant(*args, **given):
    return Tenant(settled(*args, **given).footprint)


def test_a_judge_takes_what_it_needs_and_the_writer_the_rest():
    writer, judge = tenant(H100, WRITER, "policy"), tenant(H100, JUDGE, "reward")
    # 64 texts of 4096 tokens, 2 x 28 layers x 4 heads x 128 numbers of two bytes each: 14 GiB;
    # a tenth of the device is 8. Beside weights and cache each takes 4 GiB.
    assert shares([writer, judge]) == [pytest.approx(72 - 26), pytest.approx(14 + 8 + 4)]
    arguments = writer.settle([judge])
    assert arguments["kv_cache_memory_bytes"] == pytest.approx((72 - 26 - 18) * GIB)
    assert arguments["gpu_memory_utilization"] == pytest.approx(46 / 80)
    assert judge.settle([writer])["kv_cache_memory_bytes"] == 8 * GIB


def test_the_order_of_the_start_changes_nothing():
    def taken(order):
        both = [tenant(H100, WRITER, "policy"), tenant(H100, JUDGE, "reward")]
        for number in order:
            both[number].settle([each for each in both if each is not both[number]])
        return [each.taken for each in both]

    assert taken([0, 1]) == pytest.approx(taken([1, 0]))


def test_a_writer_alone_is_left_to_the_engine():
    writer = tenant(H100, WRITER, "policy")
    assert writer.settle([]) == {}
    assert writer.taken == 72
    # Who comes when it runs is refused, and told of whom.
    with pytest.raises(ConfigError) as error:
        shares([writer, tenant(H100, JUDGE, "reward", model="judge")])
    assert error.value.message == (
        "The engines do not fit on one GPU of 80 GiB together: mini-reasoner has 72.0 GiB, judge"
        " needs 26.0 GiB."
    )
    assert error.value.hint.startswith("Make all of them before the first one starts")


def test_what_the_user_gives_is_what_an_engine_gets():
    writer = tenant(H100, WRITER, "policy", gpu_memory_utilization=0.5)
    judge = tenant(H100, JUDGE, "reward", kv_cache_gib=2.0)
    assert shares([writer, judge]) == [40.0, 20.0]
    assert writer.settle([judge])["gpu_memory_utilization"] == 0.5


def test_two_writers_get_equal_caches():
    small = replace(WRITER, weight_bytes=GIB)
    big, little = shares([tenant(H100, WRITER, "policy"), tenant(H100, small, "policy")])
    assert big + little == pytest.approx(72)
    assert big - little == pytest.approx(13)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.1, 40), st.floats(0.1, 20) | st.none()), min_size=1, max_size=5)
)
def test_shares_fit_and_cover_each_need(sizes):
    engines = [
        Tenant(Footprint(f"m{i}", weights, 1.0, cache, least=0.1, device=80.0))
        for i, (weights, cache) in enumerate(sizes)
    ]
    try:
        found = shares(engines)
    except ConfigError:
        assume(False)
    assert sum(found) <= 80.0 + 1e-9
    for engine, share in zip(engines, found, strict=True):
        assert share >= engine.footprint.need - 1e-9


def test_the_second_check_counts_what_the_first_will_take():
    machine = replace(PLAIN, memory_gib=40.0)
    first = Engine(settled(machine, WRITER, "policy", model="first", kv_cache_gib=1.0))
    try:
        assert first.config.footprint.need == pytest.approx(28 + 1 + 1.5)
        with pytest.raises(ConfigError) as error:
            second = settled(machine, JUDGE, "reward", model="second", dtype="bfloat16")
            check(EngineConfig(), second, machine, JUDGE)
        assert error.value.message == (
            "second needs about 16.5 GiB (weights 14.0, KV cache 1.0, engine 1.5) beside first,"
            " which will take 30.5 GiB, and 40.0 GiB are free."
        )
    finally:
        first._tenant.move_out()


def test_what_runs_is_no_longer_free_and_not_counted_again():
    one = tenant(PLAIN, WRITER, "policy", kv_cache_gib=1.0)
    assert beside([one])[0] == pytest.approx(30.5)
    assert one.settle([]) == {}
    assert beside([one]) == (0, "")


async def test_a_closed_engine_takes_nothing():
    before = len(tenants(on_gpu=False))
    engine = Engine(settled(PLAIN, WRITER, "policy"))
    forgotten = Engine(settled(PLAIN, WRITER, "policy"))
    assert len(tenants(on_gpu=False)) == before + 2
    assert tenants(on_gpu=True) == []
    await engine.aclose()
    del forgotten
    assert len(tenants(on_gpu=False)) == before


def test_a_judges_settings_on_a_processor():
    small = Shape(3, 4, 4, 32, 600_000, 1024, 2_400_000, "float32", head="token", labels=2)
    found = settled(PLAIN, small, "reward").arguments
    assert found["runner"] == "pooling"
    assert found["pooler_config"]["tok_pooling_type"] == "ALL"
    assert found["kv_cache_memory_bytes"] == GIB // 4
    assert (
        settled(PLAIN, replace(WRITER, dtype="float32"), "reward").arguments[
            "kv_cache_memory_bytes"
        ]
        == GIB
    )
    spoken = settled(PLAIN, replace(small, head="language", labels=0), "reward").arguments
    assert spoken["runner"] == "generate"
    assert "pooler_config" not in spoken


def test_a_judge_cannot_write():
    with pytest.raises(ConfigError, match="m is a reward model: it gives values, and writes noth"):
        check(EngineConfig(model="m"), settled(H100, JUDGE, "policy", model="m"), H100, JUDGE)
