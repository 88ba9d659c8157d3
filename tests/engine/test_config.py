"""Settings: checked in words, and completed from the hardware by a pure function."""

from __future__ import annotations

from pathlib import Path

import pytest

from tts.engine import EngineConfig, Hardware, Shape, read_config, resolve
from tts.engine.config import environment
from tts.errors import ConfigError

AVX2 = Hardware(4, 16.0, frozenset({"avx2"}))
AMX = Hardware(4, 16.0, frozenset({"avx2", "avx512", "avx512_bf16", "amx", "amx_bf16"}))
H100 = Hardware(16, 128.0, frozenset({"avx512"}), 1, (9, 0), 80.0)
SHAPE = Shape(30, 9, 3, 64, 134_000_000, 8192, 269_000_000, "bfloat16")


def settings(hardware, **given):
    return resolve(EngineConfig(**given), hardware, Path("somewhere"), SHAPE)


def test_every_setting_has_a_default_and_a_meaning():
    for name, field in EngineConfig.model_fields.items():
        assert not field.is_required(), name
        assert field.description, name


def test_presets_of_a_processor_without_bfloat16():
    resolved = settings(AVX2)
    assert resolved.dtype == "float32"
    assert resolved.max_model_len == 4096
    expected = {
        "block_size": 32,
        "enable_chunked_prefill": False,
        "enforce_eager": True,
        "enable_prefix_caching": True,
        "max_num_seqs": 128,
        "max_num_batched_tokens": 4096,
        "kv_cache_memory_bytes": 2 << 30,
        "disable_log_stats": True,
    }
    assert expected.items() <= resolved.arguments.items()


def test_a_processor_with_bfloat16_keeps_the_models_type():
    assert settings(AMX).dtype == "auto"


def test_a_small_model_takes_little_cache():
    small = Shape(3, 4, 4, 32, 600_000, 1024, 2_400_000, "float32")
    resolved = resolve(EngineConfig(max_model_len=512), AVX2, Path("somewhere"), small)
    assert resolved.arguments["kv_cache_memory_bytes"] == 1 << 28
    assert resolved.dtype == "float32"


def test_on_cuda_the_engine_keeps_its_defaults():
    resolved = settings(H100)
    assert resolved.max_model_len == 8192
    assert resolved.arguments["dtype"] == "auto"
    assert resolved.arguments["enable_prefix_caching"] is True
    left_to_vllm = {
        "block_size",
        "enforce_eager",
        "enable_chunked_prefill",
        "max_num_seqs",
        "max_num_batched_tokens",
        "kv_cache_memory_bytes",
        "gpu_memory_utilization",
    }
    assert not left_to_vllm & resolved.arguments.keys()
    assert "OMP_NUM_THREADS" not in resolved.environment


def test_what_the_user_says_wins_and_extra_goes_through():
    resolved = settings(
        AVX2, block_size=64, kv_cache_gib=0.5, max_num_seqs=16, extra={"scheduling_policy": "fcfs"}
    )
    assert resolved.arguments["block_size"] == 64
    assert resolved.arguments["kv_cache_memory_bytes"] == 1 << 29
    assert resolved.arguments["max_num_seqs"] == 16
    assert resolved.arguments["scheduling_policy"] == "fcfs"


def test_the_environment_respects_what_is_set():
    arguments = {"enforce_eager": True}
    fresh = environment(AVX2, arguments, {})
    assert fresh["OMP_NUM_THREADS"] == "4"
    assert fresh["VLLM_CPU_KVCACHE_SPACE"] is None
    assert fresh["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
    assert fresh["TORCHDYNAMO_DISABLE"] == "1"
    own = environment(AVX2, arguments, {"OMP_NUM_THREADS": "1", "LD_PRELOAD": "/lib/libomp.so"})
    assert "OMP_NUM_THREADS" not in own
    assert "LD_PRELOAD" not in own
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in environment(
        AVX2, {**arguments, "tensor_parallel_size": 2}, {}
    )


def test_threads_that_are_set_say_more_than_the_variable():
    assert environment(AVX2, {}, {}, 2)["OMP_NUM_THREADS"] == "2"
    assert environment(AVX2, {}, {"OMP_NUM_THREADS": "1"}, 2)["OMP_NUM_THREADS"] == "2"
    assert environment(H100, {}, {}, 2)["OMP_NUM_THREADS"] == "2"
    resolved = settings(AVX2, threads=3)
    assert resolved.environment["OMP_NUM_THREADS"] == "3"
    assert "threads" not in resolved.arguments  # vLLM knows no such argument


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"max_modellen": 5},
            "The engine has no setting 'max_modellen'. Did you mean 'max_model_len'?",
        ),
        (
            {"swap": 5},
            "The engine has no setting 'swap'. Arguments of vLLM's own go under engine.extra.",
        ),
        (
            {"max_num_seqs": 0},
            "engine.max_num_seqs is 0: Input should be greater than or equal to 1.",
        ),
        (
            {"gpu_memory_utilization": 1.5},
            "engine.gpu_memory_utilization is 1.5: Input should be less than or equal to 1.",
        ),
    ],
)
def test_bad_settings_get_one_sentence(values, sentence):
    with pytest.raises(ConfigError) as error:
        read_config(values)
    assert str(error.value) == sentence
