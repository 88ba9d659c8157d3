"""Engines over several devices: what is refused with its numbers, and what is passed through."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path

import pytest

from tts.engine import EngineConfig, Hardware, Shape, check, layout, memory, resolve
from tts.engine.config import read_config
from tts.engine.hardware import GIB
from tts.engine.layout import Layout, layout_of
from tts.errors import ConfigError, Unsupported

FOUR = Hardware(16, 128.0, cuda_devices=4, cuda_capability=(9, 0), cuda_memory_gib=80.0)
EIGHT = replace(FOUR, cuda_devices=8)
PLAIN = Hardware(2, 64.0, frozenset({"avx2"}))
SHAPE = Shape(32, 32, 8, 128, 8 * 10**9, 4096, 16 * GIB, "bfloat16")
SMALL = Shape(3, 4, 4, 32, 600_000, 1024, 2_400_000, "float32")


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch):
    monkeypatch.setattr(memory, "_TENANTS", weakref.WeakSet())


def examined(hardware, shape=SHAPE, **given):
    config = EngineConfig(model="m", **given)
    resolved = resolve(config, hardware, Path("somewhere"), shape)
    check(config, resolved, hardware, shape, lambda _: True)
    return resolved


REFUSED = [
    (FOUR, {"tensor_parallel_size": 8}, "tensor_parallel_size is 8, and this machine has 4 CUDA"),
    (
        FOUR,
        {"tensor_parallel_size": 2, "pipeline_parallel_size": 2, "data_parallel_size": 2},
        "tensor_parallel_size 2 x pipeline_parallel_size 2 x data_parallel_size 2 makes 8 workers,"
        " and this machine has 4 CUDA device(s). Lower it; or, for the devices of several machines,"
        " set distributed_executor_backend to ray.",
    ),
    (
        FOUR,
        {"extra": {"pipeline_parallel_size": 5}},
        "pipeline_parallel_size 5 makes 5 workers, and this machine has 4 CUDA device(s).",
    ),
    (
        FOUR,
        {"tensor_parallel_size": 3},
        "tensor_parallel_size 3 does not divide the 32 attention heads of m.",
    ),
    (
        FOUR,
        {"distributed_executor_backend": "uni", "tensor_parallel_size": 2},
        "distributed_executor_backend is 'uni', which runs one worker, and tensor_parallel_size 2"
        " makes 2. Set it to mp, or leave it out.",
    ),
]


@pytest.mark.parametrize(("hardware", "given", "sentence"), REFUSED)
def test_refusals(hardware, given, sentence):
    with pytest.raises(ConfigError) as error:
        examined(hardware, **given)
    assert sentence in str(error.value)


def test_heads_of_the_cache_are_divided_or_kept_several_times():
    odd = replace(SHAPE, query_heads=24, key_value_heads=3)
    with pytest.raises(ConfigError) as error:
        examined(EIGHT, odd, tensor_parallel_size=8)
    assert error.value.message == (
        "tensor_parallel_size 8 and the 3 key-value heads of m do not divide each other."
    )
    for size in (1, 3, 6):
        examined(EIGHT, odd, tensor_parallel_size=size)


def test_a_stage_needs_a_layer():
    with pytest.raises(ConfigError) as error:
        examined(EIGHT, replace(SHAPE, layers=3), pipeline_parallel_size=4)
    assert error.value.message == (
        "pipeline_parallel_size is 4, and m has 3 layers: a stage needs at least one."
    )


def test_ray_has_devices_that_this_machine_has_not(monkeypatch):
    given = {"distributed_executor_backend": "ray", "tensor_parallel_size": 16}
    found = examined(FOUR, **given)
    assert found.arguments["distributed_executor_backend"] == "ray"
    monkeypatch.setattr(layout, "find_spec", lambda name: None)
    with pytest.raises(Unsupported, match="is 'ray', and Ray is not installed"):
        examined(FOUR, **given)
    with pytest.raises(Unsupported, match="spreads no engine over processors with Ray"):
        examined(PLAIN, SMALL, distributed_executor_backend="ray")


def test_a_processor_runs_no_more_processes_than_cores():
    with pytest.raises(Unsupported) as error:
        examined(PLAIN, SMALL, tensor_parallel_size=4)
    assert error.value.message == (
        "tensor_parallel_size 4 makes 4 processes, and this machine has 2 processor cores."
    )


def test_what_is_said_is_passed_on():
    arguments = examined(
        EIGHT, tensor_parallel_size=2, pipeline_parallel_size=2, data_parallel_size=2,
        distributed_executor_backend="mp", enable_sleep_mode=True,
    ).arguments  # fmt: skip
    assert {
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 2,
        "data_parallel_size": 2,
        "distributed_executor_backend": "mp",
        "enable_sleep_mode": True,
    }.items() <= arguments.items()
    assert "distributed_executor_backend" not in examined(FOUR).arguments
    with pytest.raises(ConfigError, match=r"engine\.distributed_executor_backend is 'slurm'"):
        read_config({"distributed_executor_backend": "slurm"})


def test_memory_is_planned_by_device_and_by_process():
    alone = examined(FOUR).footprint
    spread = examined(FOUR, tensor_parallel_size=2, pipeline_parallel_size=2).footprint
    assert spread.weights == pytest.approx(alone.weights / 4) == pytest.approx(4.0)
    assert spread.least == pytest.approx(alone.least / 4)
    replicas = examined(FOUR, data_parallel_size=4).footprint
    assert (replicas.weights, replicas.least) == (alone.weights, alone.least)
    # On a processor all processes live in one memory, each with a cache of its own.
    one, two = examined(PLAIN, SMALL), examined(PLAIN, SMALL, tensor_parallel_size=2)
    assert two.footprint.weights == one.footprint.weights
    assert two.footprint.cache == pytest.approx(2 * one.footprint.cache)
    assert two.footprint.beside == pytest.approx(2 * one.footprint.beside)
    assert one.environment["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in two.environment


def test_the_words_for_a_layout():
    assert str(Layout()) == "one worker"
    assert str(Layout(2, 1, 4)) == "tensor_parallel_size 2 x data_parallel_size 4"
    found = layout_of({"tensor_parallel_size": 2, "distributed_executor_backend": object})
    assert (found.workers, found.pieces, found.executor, found.inside) == (2, 2, "custom", False)
