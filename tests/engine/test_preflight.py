"""Each refusal is one sentence and a hint, before anything is started."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path

import pytest

from tts.engine import EngineConfig, Hardware, Shape, check, memory, resolve
from tts.errors import ConfigError, ModelNotFound, Unsupported

AVX2 = Hardware(2, 16.0, frozenset({"avx2"}))
AVX512 = Hardware(2, 16.0, frozenset({"avx2", "avx512"}))
T4 = Hardware(8, 64.0, frozenset({"avx512"}), 1, (7, 5), 15.0)
H100 = Hardware(16, 128.0, frozenset({"avx512"}), 2, (9, 0), 80.0)
SHAPE = Shape(30, 9, 3, 64, 134_000_000, 2048, 269_000_000, "bfloat16")
W4 = {"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 4}}}}
W8 = {
    "quant_method": "compressed-tensors",
    "config_groups": {
        "g": {"weights": {"num_bits": 8, "type": "int"}, "input_activations": {"num_bits": 8}}
    },
}
FP8 = {
    "quant_method": "compressed-tensors",
    "config_groups": {"g": {"weights": {"num_bits": 8, "type": "float"}}},
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """These machines run no other engine, whatever this process does."""
    monkeypatch.setattr(memory, "_TENANTS", weakref.WeakSet())


def examine(hardware, shape=SHAPE, operators=(), **given):
    config = EngineConfig(**given)
    resolved = resolve(config, hardware, Path("somewhere"), shape)
    check(config, resolved, hardware, shape, lambda name: name in operators)


@pytest.mark.parametrize(
    ("hardware", "given"),
    [
        (AVX2, {}),
        (AVX2, {"dtype": "float16"}),
        (AVX512, {"kv_cache_dtype": "fp8"}),
        (H100, {"kv_cache_dtype": "fp8", "dtype": "bfloat16"}),
        (H100, {"quantization": "fp8"}),
        (AVX2, {"quantization": "int8_per_channel_weight_only"}),
    ],
)
def test_what_can_run_is_let_through(hardware, given):
    examine(hardware, **given)


@pytest.mark.parametrize(
    ("quantization", "operators", "hardware", "lack"),
    [
        (W4, (), AVX2, "the 4-bit kernel (cpu_gemm_wna16) that vLLM's build"),
        (W4, ("cpu_gemm_wna16",), AVX512, ""),
        ({"quant_method": "gptq", "bits": 4}, (), AVX2, "the 4-bit kernel"),
        (W8, (), AVX2, "the 8-bit kernel (onednn_scaled_mm)"),
        (W8, ("onednn_scaled_mm",), AVX2, ""),
        (FP8, ("onednn_scaled_mm",), AVX2, "hardware with 8-bit floats"),
        (FP8, (), H100, ""),
        (FP8, (), T4, "a GPU of compute capability 8.0 or more"),
        ({"quant_method": "bitsandbytes"}, (), AVX2, "a GPU"),
    ],
)
def test_a_quantised_checkpoint_needs_its_kernels(quantization, operators, hardware, lack):
    shape = replace(SHAPE, quantization=quantization)
    if not lack:
        return examine(hardware, shape, operators)
    with pytest.raises(Unsupported) as error:
        examine(hardware, shape, operators)
    assert f"needs {lack}" in error.value.message
    assert error.value.hint.startswith("Take the model without quantisation")


@pytest.mark.parametrize(
    ("hardware", "given", "kind", "sentence"),
    [
        (
            AVX2,
            {"model": "m", "max_model_len": 4096},
            ConfigError,
            "max_model_len is 4096, and the model m was made for 2048 tokens."
            " Set model.engine.max_model_len to 2048 or less.",
        ),
        (
            AVX2,
            {"max_num_batched_tokens": 1024},
            ConfigError,
            "max_num_batched_tokens is 1024, below max_model_len 2048, and without chunked prefill"
            " a prompt must fit in one step.",
        ),
        (AVX2, {"dtype": "int4"}, ConfigError, "dtype is 'int4'. It must be one of auto, float32"),
        (T4, {"dtype": "bfloat16"}, Unsupported, "This machine has no bfloat16 (1 CUDA device(s)"),
        (
            AVX2,
            {"quantization": "fp8_per_tensor"},
            Unsupported,
            "The quantisation 'fp8_per_tensor' of mini-reasoner needs hardware with 8-bit floats;"
            " this machine has 2 processor cores with avx2, 16.0 GiB free.",
        ),
        (
            AVX2,
            {"quantization": "int8_per_channel_weight_only", "dtype": "float32"},
            Unsupported,
            "needs dtype bfloat16, which its kernel alone knows",
        ),
        (
            AVX2,
            {"quantization": "awq"},
            ConfigError,
            "the checkpoint of mini-reasoner was not written in that format.",
        ),
        (
            AVX2,
            {"kv_cache_dtype": "fp8"},
            Unsupported,
            "A KV cache of type 'fp8' needs a GPU, or for 8 bits a processor with AVX-512 or AMX;",
        ),
        (AVX512, {"kv_cache_dtype": "nvfp4"}, Unsupported, "A KV cache of type 'nvfp4' needs a"),
        (T4, {"kv_cache_dtype": "fp8"}, Unsupported, "a GPU of compute capability 8.9 or more"),
        (
            AVX2,
            {"block_size": 16},
            Unsupported,
            "block_size is 16; on a processor it must be a multiple of 32.",
        ),
        (
            AVX2,
            {"kv_cache_gib": 100.0, "model": "m"},
            ConfigError,
            "m needs about 102.0 GiB (weights 0.5, KV cache 100.0, engine 1.5), and 16.0 GiB are",
        ),
        (
            H100,
            {"tensor_parallel_size": 4},
            ConfigError,
            "tensor_parallel_size is 4, and this machine has 2 CUDA device(s).",
        ),
        (
            H100,
            {"tensor_parallel_size": 2},
            ConfigError,
            "tensor_parallel_size 2 does not divide the 9 attention heads",
        ),
    ],
)
def test_refusals(hardware, given, kind, sentence):
    with pytest.raises(kind) as error:
        examine(hardware, **given)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("changes", "hardware", "kind", "sentence"),
    [
        ({"weight_bytes": 0}, AVX2, ModelNotFound, "is no model: it holds no weights"),
        ({"head_size": 48}, AVX2, Unsupported, "are 48 wide; on a processor the engine knows 32,"),
        ({"weight_bytes": 200 << 30}, H100, ConfigError, "take 200.0 GiB on each device, and 72.0"),
        (
            {"layers": 400, "key_value_heads": 64, "weight_bytes": 1 << 20},
            replace(AVX2, memory_gib=8.0),
            ConfigError,
            "One sequence of max_model_len 2048 takes 25.0 GiB of KV cache, and kv_cache_gib is 2",
        ),
    ],
)
def test_models_that_do_not_fit(changes, hardware, kind, sentence):
    with pytest.raises(kind) as error:
        examine(hardware, replace(SHAPE, **changes))
    assert sentence in str(error.value)
