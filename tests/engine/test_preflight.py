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
B200 = Hardware(16, 128.0, frozenset({"avx512"}), 1, (10, 0), 180.0)
SHAPE = Shape(30, 9, 3, 64, 134_000_000, 2048, 269_000_000, "bfloat16")
W4 = {
    "quant_method": "compressed-tensors",
    "config_groups": {"g": {"weights": {"num_bits": 4, "type": "int"}}},
}
W8 = {
    "quant_method": "compressed-tensors",
    "config_groups": {
        "g": {"weights": {"num_bits": 8, "type": "int"}, "input_activations": {"num_bits": 8}}
    },
}
FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}


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
        (H100, {"quantization": "fp8_per_tensor"}),
        (H100, {"quantization": "a_method_of_someone_elses"}),
        (AVX2, {"quantization": "fp8_per_channel"}),
        (AVX2, {"scheme": "fp8"}),
    ],
)
def test_what_can_run_is_let_through(hardware, given):
    examine(hardware, **given)


@pytest.mark.parametrize(
    ("quantization", "operators", "hardware", "lack"),
    [
        (W4, (), AVX2, "a GPU, or the kernel cpu_gemm_wna16, which vLLM's build"),
        (W4, ("cpu_gemm_wna16",), AVX512, ""),
        ({"quant_method": "gptq", "bits": 4}, (), AVX2, "a GPU, or the kernel cpu_gemm_wna16"),
        ({"quant_method": "gptq", "bits": 8}, ("cpu_gemm_wna16",), AVX512, "a GPU; this"),
        (W8, (), AVX2, "a GPU, or the kernel onednn_scaled_mm"),
        (W8, ("onednn_scaled_mm",), AVX2, ""),
        (FP8, ("fp8_scaled_mm_cpu",), AVX2, "a GPU, or a processor with AMX"),
        (FP8, (), T4, ""),
        (W8, (), B200, "a GPU of compute capability below 10.0"),
        ({"quant_method": "bitsandbytes"}, (), AVX2, "a GPU; this"),
    ],
)
def test_a_quantised_checkpoint_needs_its_kernels(quantization, operators, hardware, lack):
    shape = replace(SHAPE, quantization=quantization)
    if not lack:
        return examine(hardware, shape, operators)
    with pytest.raises(Unsupported) as error:
        examine(hardware, shape, operators)
    assert f"needs {lack}" in error.value.message
    assert error.value.hint.startswith("The nearest that runs here is")


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
        (
            T4,
            {"dtype": "bfloat16"},
            Unsupported,
            "mini-reasoner in bf16 (16-bit brain floats) needs a GPU of compute capability 8.0 or"
            " more; this machine has 1 CUDA device(s) of capability 7.5, 15 GiB each. The nearest"
            " that runs here is fp16 (16-bit floats): set model.engine.scheme to fp16.",
        ),
        (
            AVX2,
            {"scheme": "w4a16_awq"},
            Unsupported,
            "this machine has 2 processor cores with avx2, 16.0 GiB free. The nearest that runs"
            " here is fp8 (8-bit floats, a scale for each channel and token): set"
            " model.engine.scheme to fp8.",
        ),
        (
            AVX2,
            {"quantization": "fp8_per_channel", "dtype": "float32"},
            Unsupported,
            "fp8 is applied to weights of bfloat16 or float16, and dtype is 'float32'."
            " Set model.engine.dtype to bfloat16.",
        ),
        (
            H100,
            {"quantization": "int8_per_channel_weight_only", "model": "m"},
            ConfigError,
            "quantization is 'int8_per_channel_weight_only', which narrows nothing but the experts"
            " of a mixture, and m has none.",
        ),
        (
            H100,
            {"quantization": "awq", "model": "m"},
            ConfigError,
            "quantization is 'awq', and the checkpoint of m was not written in that format. Make"
            " one (tts quantize model=m scheme=w4a16_awq), or leave model.engine.quantization",
        ),
        (
            H100,
            {"quantization": "fp8"},
            ConfigError,
            "quantization is 'fp8', and this version of vLLM calls it 'fp8_per_channel' where it is"
            " applied while loading. Set model.engine.scheme to fp8.",
        ),
        (
            AVX2,
            {"kv_cache_dtype": "fp8"},
            Unsupported,
            "A KV cache of type 'fp8' needs a GPU, or a processor with AVX-512 or AMX; this",
        ),
        (
            AVX2,
            {"kv_cache_dtype": "bfloat16"},
            Unsupported,
            "A KV cache of type 'bfloat16' needs a GPU; this machine has 2 processor cores with"
            " avx2, 16.0 GiB free. Set model.engine.kv_cache_dtype to auto.",
        ),
        (
            AVX512,
            {"kv_cache_dtype": "int8_per_token_head"},
            Unsupported,
            "A KV cache of type 'int8_per_token_head' needs a GPU; this machine has 2 processor"
            " cores with avx2, avx512, 16.0 GiB free. Set model.engine.kv_cache_dtype to fp8.",
        ),
        (
            AVX512,
            {"kv_cache_dtype": "nvfp4"},
            Unsupported,
            "A KV cache of type 'nvfp4' needs a GPU",
        ),
        (AVX512, {"kv_cache_dtype": "ultraquant_4bit"}, Unsupported, "'ultraquant_4bit' needs a"),
        (T4, {"kv_cache_dtype": "fp8"}, Unsupported, "a GPU of compute capability 8.0 or more"),
        (
            H100,
            {"kv_cache_dtype": "fp8_e4m4"},
            ConfigError,
            "kv_cache_dtype is 'fp8_e4m4', which the engine does not know. Did you mean 'fp8_e4m3'",
        ),
        (
            AVX2,
            {"block_size": 16},
            Unsupported,
            "block_size is 16; on a processor it must be a multiple of 32.",
        ),
        (
            AVX2,
            {"threads": 5},
            Unsupported,
            "threads is 5, and this machine has 2 cores",
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
