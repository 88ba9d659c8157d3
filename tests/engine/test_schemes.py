"""The table of schemes: its figures, what runs where, and every one that runs here, decoded."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.advice.llamas import LLAMA
from tests.engine import scheme_tables
from tests.engine.quantised import quantise
from tests.engine_fixtures import other_peoples_warnings
from tts.backends.vllm import VLLMBackend
from tts.engine import EngineConfig, Hardware, check, detect, read_shape, resolve
from tts.engine._schemes import registry
from tts.engine._schemes.recognition import written
from tts.engine.models import resolve_model
from tts.engine.schemes import (
    CACHE_FORMATS,
    SCHEMES,
    arithmetic_on,
    cache_lack,
    emulated,
    feasible,
    lack,
    nearest,
    scheme_of,
    spelt_out,
    token_bytes,
    weight_bytes,
)
from tts.engine.shape import FeedForward
from tts.errors import ConfigError, Unsupported
from tts.types import Problem, Request, Trajectory

AVX2 = Hardware(2, 64.0, frozenset({"avx2"}))
AVX512 = Hardware(8, 64.0, frozenset({"avx2", "avx512", "avx512_vnni"}))
AMX = Hardware(8, 64.0, AVX512.isa | {"avx512_bf16", "avx512_fp16", "amx", "amx_bf16"})


def gpu(major: int, minor: int) -> Hardware:
    return Hardware(8, 64.0, frozenset({"avx512"}), 1, (major, minor), 80.0)


T4, A100, L40S, H100, B200 = gpu(7, 5), gpu(8, 0), gpu(8, 9), gpu(9, 0), gpu(10, 0)
MACHINES = {
    "avx2": AVX2, "avx512": AVX512, "amx": AMX,
    "t4": T4, "a100": A100, "l40s": L40S, "h100": H100, "b200": B200,
}  # fmt: skip
# What vLLM's builds for processors hold.
OPERATORS = {
    "avx2": ("onednn_scaled_mm",),
    "avx512": ("onednn_scaled_mm", "cpu_gemm_wna16"),
    "amx": ("onednn_scaled_mm", "cpu_gemm_wna16", "fp8_scaled_mm_cpu"),
}
METHODS = frozenset(name for row in SCHEMES.values() for name in (*row.online, row.method) if name)
GPUS = "t4 a100 l40s h100 b200"
RUNS = {
    "fp32": f"avx2 avx512 amx {GPUS}",
    "bf16": "avx2 avx512 amx a100 l40s h100 b200",
    "fp16": f"avx2 avx512 amx {GPUS}",
    "fp8": f"avx2 avx512 amx {GPUS}",
    "fp8_tensor": GPUS,
    "fp8_block": f"amx {GPUS}",
    "mxfp8": GPUS,
    "w8a16_fp8": GPUS,
    "w8a8_int8": "avx2 avx512 amx t4 a100 l40s h100",
    "w8a16_int8": GPUS,
    "int8_experts": f"amx {GPUS}",
    "w4a16_gptq": f"avx512 amx {GPUS}",
    "w4a16_awq": f"avx512 amx {GPUS}",
    "w4a8_fp8": "h100",
    "w4a8_int8": "avx2 avx512 amx",
    "w4a8_kv4": "",
    "nvfp4": GPUS,
    "nvfp4a16": GPUS,
    "mxfp4": "a100 l40s h100 b200",
    "mxfp4_experts": "amx a100 l40s h100 b200",
    "nf4": GPUS,
    "fp4": GPUS,
    "llm_int8": GPUS,
    "gguf": GPUS,
}
CACHES = {
    "auto": f"avx2 avx512 amx {GPUS}",
    "float16": GPUS,
    "bfloat16": "a100 l40s h100 b200",
    "fp8": "avx512 amx a100 l40s h100 b200",
    "fp8_e4m3": "avx512 amx a100 l40s h100 b200",
    "fp8_e5m2": "avx512 amx a100 l40s h100 b200",
    "fp8_per_token_head": "l40s h100 b200",
    "int8_per_token_head": GPUS,
    "int4_per_token_head": GPUS,
    "nvfp4": "a100 l40s h100 b200",
    "turboquant_k8v4": "l40s h100 b200",
    "turboquant_4bit_nc": GPUS,
    "turboquant_k3v4_nc": GPUS,
    "turboquant_3bit_nc": GPUS,
}
MIXTRAL = replace(
    LLAMA, feed_forward=FeedForward(14336, experts=8, chosen=2), weight_bytes=93_405_585_408
)


def holds(machine: str):
    return lambda name: name in OPERATORS.get(machine, ())


# --- the table ----------------------------------------------------------------------------------


def test_every_row_says_what_it_is():
    for name, row in SCHEMES.items():
        assert (row.name, bool(row.title), bool(row.source)) == (name, True, True)
        assert row.activation_bits in (4, 8, 16, 32) and 4 <= row.weight_bits <= 32
        assert row.plain or row.online or row.written, name
    assert CACHE_FORMATS.keys() == {row.name for row in CACHE_FORMATS.values()}


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("bf16", 16),
        ("fp8", 8),
        ("mxfp8", 8.25),
        ("w8a16_int8", 8.125),
        ("w4a16_gptq", 4.125),  # 4 and a scale of 16 for 128
        ("w4a16_awq", 4.15625),  # and a zero of 4
        ("mxfp4", 4.25),  # 4 and a scale of 8 for 32
        ("nvfp4", 4.5),  # 4 and a scale of 8 for 16
        ("nf4", 4.5),  # 4 and a scale of 32 for 64
        ("gguf", 4.5),  # Q4_K: 144 bytes for 256
    ],
)
def test_bits_of_a_weight_by_hand(name, bits):
    assert SCHEMES[name].weight_bits == bits


def test_only_products_of_narrow_weights_and_narrow_activations_have_a_narrow_peak():
    for row in SCHEMES.values():
        narrow = row.arithmetic in ("int8", "fp8", "fp4")
        assert narrow == (row.activation_bits <= 8), row.name


def test_the_installed_engine_knows_the_names():
    known, caches = registry.methods(), registry.caches()
    for row in SCHEMES.values():
        if row.online and not row.plugin:
            assert row.online[0] in known, row.name
    assert caches >= CACHE_FORMATS.keys()


def test_names_are_read_from_the_source_without_running_it():
    source = 'import nothing_of_the_kind\nKinds = Literal["a", "b"]\nOthers = Literal["c"]\n'
    assert registry.literals(source, "Kinds") == {"a", "b"}
    assert registry.literals(source, "Missing") == frozenset()


def test_the_page_shows_the_tables():
    page = scheme_tables.PAGE.read_text()
    assert page == scheme_tables.filled(page), "run python -m tests.engine.scheme_tables"
    assert all(table in page for table in scheme_tables.tables().values())


# --- what runs where ----------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES)
def test_what_runs_on_a_machine(machine):
    able = {
        name
        for name, row in SCHEMES.items()
        if not lack(
            row, MACHINES[machine], holds(machine), experts=row.experts_only, methods=METHODS
        )
    }
    assert able == {name for name, machines in RUNS.items() if machine in machines.split()}


@pytest.mark.parametrize("machine", MACHINES)
def test_caches_on_a_machine(machine):
    able = {name for name, form in CACHE_FORMATS.items() if not cache_lack(form, MACHINES[machine])}
    assert able == {name for name, machines in CACHES.items() if machine in machines.split()}


@pytest.mark.parametrize(
    ("name", "machine", "experts", "words"),
    [
        ("bf16", "t4", False, "a GPU of compute capability 8.0 or more"),
        ("w8a8_int8", "b200", False, "a GPU of compute capability below 10.0"),
        ("w4a8_int8", "h100", False, "a processor, as no GPU has a kernel for it"),
        ("w4a8_kv4", "h100", False, "kernels that vLLM does not have"),
        ("nf4", "avx512", False, "a GPU"),
        ("fp8_block", "avx512", False, "a GPU, or a processor with AMX"),
        ("w8a8_int8", "avx512", True, "a GPU, or a processor with AMX"),
        ("w8a8_int8", "amx", True, ""),
        (
            "w4a16_awq",
            "avx2",
            False,
            "a GPU, or the kernel cpu_gemm_wna16, which vLLM's build for this processor lacks",
        ),
    ],
)
def test_what_is_missing_in_words(name, machine, experts, words):
    found = lack(SCHEMES[name], MACHINES[machine], holds(machine), experts=experts, methods=METHODS)
    assert found == words


def test_an_engine_that_lacks_a_method_is_told_apart_from_a_machine_that_does():
    nothing = holds("h100")
    old = {"fp8", "bitsandbytes"}
    assert lack(SCHEMES["nf4"], H100, nothing, methods={"fp8"}) == (
        "the package vllm-bnb-plugin beside vLLM"
    )
    assert lack(SCHEMES["nf4"], H100, nothing, methods=old) == ""
    assert lack(SCHEMES["int8_experts"], H100, nothing, experts=True, methods=old) == (
        "a version of vLLM that has 'int8_per_channel_weight_only'"
    )
    assert lack(SCHEMES["nf4"], H100, nothing, methods=frozenset()) == ""


def test_schemes_for_experts_are_offered_to_mixtures_alone():
    dense = [row.name for row in feasible(H100, holds("h100"), methods=METHODS)]
    mixed = [row.name for row in feasible(H100, holds("h100"), methods=METHODS, experts=True)]
    assert set(mixed) - set(dense) == {"int8_experts", "mxfp4_experts"}


@pytest.mark.parametrize(
    ("name", "machine", "near"),
    [
        ("w4a16_gptq", "avx2", "w8a8_int8"),
        ("nf4", "avx2", "w8a8_int8"),
        ("w4a16_awq", "avx512", "w4a16_awq"),
        ("nvfp4", "amx", "w4a16_gptq"),
        ("fp8_block", "avx2", "w8a8_int8"),
        ("bf16", "t4", "fp16"),
        ("w8a8_int8", "b200", "fp8"),
        ("w4a8_kv4", "a100", "w4a16_gptq"),
        ("mxfp4", "t4", "nvfp4"),
    ],
)
def test_the_nearest_that_runs(name, machine, near):
    bare = METHODS - {"bitsandbytes", "gguf"}
    found = nearest(SCHEMES[name], MACHINES[machine], holds(machine), methods=bare)
    assert found is SCHEMES[near]


@settings(max_examples=50)
@given(st.sampled_from(sorted(SCHEMES)), st.sampled_from(sorted(MACHINES)), st.booleans())
def test_the_nearest_of_what_runs_is_itself_and_it_always_runs(name, machine, experts):
    hardware, operator = MACHINES[machine], holds(machine)
    model = {"experts": experts, "methods": METHODS}
    able = feasible(hardware, operator, **model)
    near = nearest(SCHEMES[name], hardware, operator, **model)
    assert near in able
    assert near is SCHEMES[name] or SCHEMES[name] not in able


@pytest.mark.parametrize(
    ("name", "arithmetic"),
    [
        # on AVX2, AMX, T4, A100, L40S, H100, B200
        ("fp32", "fp32 fp32 fp32 fp32 fp32 fp32 fp32"),
        ("bf16", "bf16 bf16 bf16 bf16 bf16 bf16 bf16"),
        ("fp8", "fp32 bf16 fp16 bf16 fp8 fp8 fp8"),
        ("w8a8_int8", "int8 int8 int8 int8 int8 int8 int8"),
        ("w4a16_gptq", "fp32 bf16 fp16 bf16 bf16 bf16 bf16"),
        ("nvfp4", "fp32 bf16 fp16 bf16 bf16 bf16 fp4"),
    ],
)
def test_which_peak_holds(name, arithmetic):
    machines = (AVX2, AMX, T4, A100, L40S, H100, B200)
    assert [arithmetic_on(SCHEMES[name], each) for each in machines] == arithmetic.split()


def test_what_a_processor_only_imitates():
    slow = {name for name in RUNS if "avx2" in RUNS[name] and emulated(SCHEMES[name], AVX2)}
    assert slow == {"bf16", "fp16", "fp8", "w4a8_int8"}
    assert not emulated(SCHEMES["bf16"], AMX) and not emulated(SCHEMES["fp16"], AMX)
    assert not any(emulated(row, H100) for row in SCHEMES.values())


# --- recognition --------------------------------------------------------------------------------


def compressed(weights, inputs=None, form="pack-quantized"):
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
    }


INT8 = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False}
TOKEN8 = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
INT4 = {**INT8, "num_bits": 4, "strategy": "group", "group_size": 128}
FLOAT8 = {**INT8, "type": "float"}
TOKENF8 = {**TOKEN8, "type": "float"}
FLOAT4 = {**FLOAT8, "num_bits": 4, "strategy": "tensor_group", "group_size": 16}
CHECKPOINTS = {
    "awq": (
        {
            "quant_method": "awq",
            "bits": 4,
            "group_size": 128,
            "version": "gemm",
            "zero_point": True,
        },
        "w4a16_awq",
    ),
    "gptq, 4 bits": (
        {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True},
        "w4a16_gptq",
    ),
    "gptq, 8 bits": ({"quant_method": "gptq", "bits": 8, "group_size": 128}, "w8a16_int8"),
    "gptq, 3 bits": ({"quant_method": "gptq", "bits": 3, "group_size": 128}, None),
    "auto-round": ({"quant_method": "auto-round", "bits": 4, "group_size": 128}, "w4a16_gptq"),
    "w8a8": (compressed(INT8, TOKEN8, "int-quantized"), "w8a8_int8"),
    "w8a16": (compressed({**INT4, "num_bits": 8}), "w8a16_int8"),
    "w4a16": (compressed(INT4), "w4a16_gptq"),
    "w4a16 with zeros": (compressed({**INT4, "symmetric": False}), "w4a16_awq"),
    "w4a8": (compressed(INT4, TOKEN8, "int-quantized"), "w4a8_int8"),
    "w4afp8": (compressed(INT4, TOKENF8), "w4a8_fp8"),
    "fp8 dynamic": (compressed(FLOAT8, TOKENF8, "float-quantized"), "fp8"),
    "fp8 static": (
        compressed({**FLOAT8, "strategy": "tensor"}, {**TOKENF8, "strategy": "tensor"}),
        "fp8_tensor",
    ),
    "fp8 block": (compressed({**FLOAT8, "strategy": "block"}, TOKENF8), "fp8_block"),
    "fp8 weights": (compressed(FLOAT8), "w8a16_fp8"),
    "nvfp4": (compressed(FLOAT4, FLOAT4, "nvfp4-pack-quantized"), "nvfp4"),
    "nvfp4a16": (compressed(FLOAT4, None, "nvfp4-pack-quantized"), "nvfp4a16"),
    "mxfp4": (compressed({**FLOAT4, "strategy": "group", "group_size": 32}, FLOAT4), "mxfp4"),
    "mixed": (
        compressed(INT8, TOKEN8)
        | {
            "config_groups": {
                "a": {"weights": INT8, "input_activations": TOKEN8},
                "b": {"weights": INT4, "input_activations": None},
            }
        },
        "w4a16_gptq",
    ),
    "3 bits": (compressed({**INT4, "num_bits": 3}), None),
    "deepseek": (
        {
            "quant_method": "fp8",
            "activation_scheme": "dynamic",
            "fmt": "e4m3",
            "weight_block_size": [128, 128],
        },
        "fp8_block",
    ),
    "fp8": ({"quant_method": "fp8", "activation_scheme": "static"}, "fp8_tensor"),
    "fbgemm": ({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, "fp8"),
    "modelopt": ({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16}, "nvfp4"),
    "modelopt fp8": ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8_tensor"),
    "nf4": (
        {
            "quant_method": "bitsandbytes",
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": "bfloat16",
        },
        "nf4",
    ),
    "bitsandbytes, 8 bits": (
        {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 6.0},
        "llm_int8",
    ),
    "gpt-oss": (
        {
            "quant_method": "mxfp4",
            "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"],
        },
        "mxfp4_experts",
    ),
    "gguf": ({"quant_method": "gguf"}, "gguf"),
    "somebody else's": ({"quant_method": "aqlm", "nbits_per_codebook": 16}, None),
    "nothing": ({"format": "unknown"}, None),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_is_recognised_by_what_it_says(name):
    said, expected = CHECKPOINTS[name]
    found = scheme_of(EngineConfig(), replace(LLAMA, quantization=said))
    assert (found.name if found else None) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, "bf16"),
        ({"dtype": "float32"}, "fp32"),
        ({"dtype": "half"}, "fp16"),
        ({"quantization": "fp8_per_channel"}, "fp8"),
        ({"quantization": "fp8"}, "fp8"),
        ({"quantization": "fp8_per_tensor"}, "fp8_tensor"),
        ({"quantization": "mxfp4"}, "mxfp4"),
        ({"quantization": "bitsandbytes"}, "nf4"),
        ({"quantization": "int8_per_channel_weight_only"}, "int8_experts"),
        ({"quantization": "gptq"}, "w4a16_gptq"),
        ({"quantization": "torchao"}, None),
        ({"scheme": "nvfp4", "dtype": "float16"}, "nvfp4"),
    ],
)
def test_settings_are_recognised(said, expected):
    found = scheme_of(EngineConfig(**said), LLAMA)
    assert (found.name if found else None) == expected


def test_a_methods_own_name_is_not_taken_for_bits_it_does_not_say():
    assert written("gptq", {}) == "w4a16_gptq"
    assert written("bitsandbytes", {"bnb_4bit_quant_type": "fp4"}) == "fp4"


# --- the user's choice --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hardware", "said", "expected"),
    [
        (AVX2, {"scheme": "bf16"}, ("bfloat16", None)),
        (AVX2, {"scheme": "fp8"}, ("bfloat16", "fp8_per_channel")),
        (AVX2, {"scheme": "fp8", "dtype": "float16"}, ("float16", "fp8_per_channel")),
        (H100, {"scheme": "fp8"}, ("auto", "fp8_per_channel")),
        (H100, {"scheme": "fp8_block"}, ("auto", "fp8_per_block")),
        (H100, {"scheme": "fp32", "dtype": "float32"}, ("float32", None)),
        (H100, {"scheme": "fp8", "quantization": "fp8_per_channel"}, ("auto", "fp8_per_channel")),
        (H100, {"scheme": "w8a8_int8"}, ("auto", None)),
    ],
)
def test_a_scheme_becomes_the_engines_arguments(hardware, said, expected):
    arguments = resolve(EngineConfig(**said), hardware, Path("somewhere"), LLAMA).arguments
    assert (arguments["dtype"], arguments.get("quantization")) == expected
    assert "scheme" not in arguments


def test_the_argument_is_the_best_that_the_engine_has():
    config = EngineConfig(scheme="fp8")
    assert spelt_out(config, LLAMA, {"fp8", "awq"}).quantization == "fp8"
    assert spelt_out(config, LLAMA, {"fp8", "fp8_per_channel"}).quantization == "fp8_per_channel"
    assert spelt_out(config, LLAMA, frozenset()).quantization == "fp8_per_channel"
    own = replace(LLAMA, quantization=CHECKPOINTS["fp8 dynamic"][0])
    assert spelt_out(config, own).quantization is None


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            {"scheme": "w8a8"},
            "scheme is 'w8a8', and there is none of this name. Did you mean 'w8a8",
        ),
        ({"scheme": "zzzz"}, "there is none of this name. It may be one of fp32, bf16, fp16, fp8,"),
        (
            {"scheme": "bf16", "dtype": "float32"},
            "scheme is 'bf16' and dtype is 'float32', which is another one. Set one of the two.",
        ),
        (
            {"scheme": "fp8", "quantization": "fp8_per_tensor"},
            "scheme is 'fp8' and quantization is 'fp8_per_tensor', which is another one.",
        ),
        (
            {"scheme": "fp32", "quantization": "fp8_per_tensor"},
            "scheme is 'fp32' and quantization is 'fp8_per_tensor', which is another one.",
        ),
    ],
)
def test_a_scheme_that_is_contradicted_or_unknown_is_refused(said, sentence):
    with pytest.raises(ConfigError) as error:
        resolve(EngineConfig(**said), AVX2, Path("somewhere"), LLAMA)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("written_in", "said", "sentence"),
    [
        (
            {},
            {"scheme": "w8a8_int8", "model": "m"},
            "scheme is 'w8a8_int8', and the checkpoint of m was not written in that format. Make"
            " one (tts quantize model=m scheme=w8a8_int8), or leave model.engine.scheme unset.",
        ),
        (
            CHECKPOINTS["awq"][0],
            {"scheme": "fp8", "model": "m"},
            "scheme is 'fp8', and the checkpoint of m is written in w4a16_awq (weights in 4-bit"
            " integers with zeros by AWQ, groups of 128). Take another model, or leave",
        ),
        (
            CHECKPOINTS["awq"][0],
            {"scheme": "bf16", "model": "m"},
            "scheme is 'bf16', and the checkpoint of m is written in w4a16_awq",
        ),
    ],
)
def test_a_checkpoint_that_does_not_serve_is_refused(written_in, said, sentence):
    shape, config = replace(LLAMA, quantization=written_in), EngineConfig(**said)
    resolved = resolve(config, A100, Path("somewhere"), shape)
    with pytest.raises(ConfigError) as error:
        check(config, resolved, A100, shape, holds("a100"), ())
    assert sentence in str(error.value)


def test_whoever_asks_for_what_is_emulated_is_warned(caplog):
    config = EngineConfig(scheme="bf16")
    resolved = resolve(config, AVX2, Path("somewhere"), LLAMA)
    with caplog.at_level(logging.WARNING, "tts.engine"):
        check(config, resolved, AVX2, LLAMA, holds("avx2"), ())
    assert caplog.messages == [
        "bf16 is emulated on this processor, at a fraction of the speed of fp32"
    ]


# --- bytes --------------------------------------------------------------------------------------

LAYERS = 32 * (2 * 4096 * (32 + 8) * 128 + 3 * 4096 * 14336)  # weights that a scheme touches


def test_bytes_of_weights_by_hand():
    assert LAYERS == LLAMA.layer_params == 6_979_321_856
    whole, rest = 8_030_261_248, 8_030_261_248 - LAYERS
    assert weight_bytes(SCHEMES["bf16"], LLAMA, "auto") == 2 * whole
    assert weight_bytes(SCHEMES["fp32"], LLAMA, "float32") == 4 * whole
    assert weight_bytes(SCHEMES["fp8"], LLAMA, "bfloat16") == LAYERS + 2 * rest
    assert weight_bytes(SCHEMES["nf4"], LLAMA, "auto") == LAYERS * 4.5 / 8 + 2 * rest
    assert weight_bytes(None, LLAMA, "auto") == 2 * whole


def test_a_quantised_checkpoint_is_as_large_as_its_files_unless_it_is_unpacked():
    small = replace(LLAMA, weight_bytes=5_730_000_000, quantization=CHECKPOINTS["awq"][0])
    assert weight_bytes(SCHEMES["w4a16_awq"], small, "float32") == small.weight_bytes
    assert weight_bytes(SCHEMES["w4a8_int8"], small, "auto") == LAYERS * 24.125 / 8


def test_schemes_for_experts_narrow_nothing_else():
    experts = 32 * 8 * 3 * 4096 * 14336
    expected = MIXTRAL.weight_bytes - experts
    assert weight_bytes(SCHEMES["int8_experts"], MIXTRAL, "auto") == expected


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("auto", "auto", 131_072),  # 2 x 32 layers x 8 heads x 128 x 2 bytes
        ("auto", "float32", 262_144),
        ("fp8", "float32", 65_536),
        ("int8_per_token_head", "auto", 65_536 + 2 * 32 * 8 * 4),  # a scale of 4 bytes a head
        ("nvfp4", "auto", 2 * 32 * 8 * (128 // 2 + 128 // 16)),
        ("turboquant_4bit_nc", "auto", 32 * 8 * (64 + 2 + 64 + 4)),
    ],
)
def test_bytes_of_a_tokens_cache_by_hand(name, dtype, expected):
    assert token_bytes(CACHE_FORMATS[name], LLAMA, dtype) == expected


def test_the_memory_that_is_foreseen_follows_scheme_and_cache():
    def foreseen(**said):
        return resolve(EngineConfig(**said), H100, Path("somewhere"), LLAMA).footprint

    full, narrow = foreseen(), foreseen(scheme="fp8", kv_cache_dtype="fp8")
    assert narrow.weights * 2**30 == pytest.approx(LAYERS + 2 * (8_030_261_248 - LAYERS))
    assert narrow.least == full.least / 2
    assert foreseen(scheme="fp32").weights == 2 * full.weights


# --- on this machine ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """What every scheme does that this machine can run: see `schemes_here`."""
    folder = tmp_path_factory.mktemp("schemes")
    command = [sys.executable, "-m", "tests.engine.schemes_here", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.engine
@pytest.mark.apart
@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_is_loaded_and_decoded_or_refused_with_its_reason(name, here):
    scheme, hardware = SCHEMES[name], detect()
    missing = lack(scheme, hardware, here["operators"].__contains__, experts=scheme.experts_only)
    if missing:
        model = "mini-reasoner"
        shape, config = read_shape(resolve_model(model)), EngineConfig(scheme=name)
        resolved = resolve(config, hardware, resolve_model(model), shape)
        with pytest.raises(Unsupported) as error:
            check(config, resolved, hardware, shape, here["operators"].__contains__, ())
        assert f"in {scheme} needs {missing}; this machine has" in error.value.message
        assert any(f" {each} (" in error.value.hint for each in here["runs"])
    elif name in here["runs"]:
        one, full = here["runs"][name], here["runs"]["fp32"]
        assert len(one["wrote"]) > 4
        apart = [abs(a - b) for a, b in zip(one["read"], full["read"], strict=True)]
        # Rounded, and not broken: the likelihoods of the full model's answer are near its own.
        assert sum(apart) / len(apart) < 0.4 and (max(apart) > 0 or name == "fp32"), apart
    else:
        pytest.skip(f"nothing here makes a checkpoint in {name}")


@pytest.mark.engine
@pytest.mark.apart
@pytest.mark.slow
def test_parameters_take_the_bytes_that_were_foreseen(here):
    for name in ("bf16", "fp16", "fp8"):
        one = here["runs"][name]
        assert sum(one["sizes"].values()) == pytest.approx(one["foreseen"] * 2**30, rel=0.05)
    assert here["runs"]["fp8"]["sizes"]["float8_e4m3fn"] > 500_000


@pytest.mark.engine
@pytest.mark.slow
async def test_the_backend_runs_a_quantised_checkpoint_by_its_scheme(tmp_path):
    path = quantise(resolve_model("mini-reasoner"), tmp_path / "w8a8", 8)
    engine = {"scheme": "w8a8_int8", "max_model_len": 128, "kv_cache_gib": 0.05}
    with other_peoples_warnings():
        backend = VLLMBackend(str(path), engine)
        await backend.start()
    try:
        request = Request(Problem.chat("p", "12+7*3-5="), Trajectory.root(), max_tokens=24)
        async with backend.open(request) as stream:
            async for _ in stream:
                pass
        assert stream.usage.completion_tokens > 4
        assert "quantization" not in backend.identity()["engine"]
    finally:
        with other_peoples_warnings():
            await backend.aclose()
