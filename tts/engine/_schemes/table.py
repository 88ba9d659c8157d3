"""The table of schemes of weights and activations.

Each row was read off vLLM's own source (version 0.32; 0.19 and 0.24 where they differ): the methods
that it registers, the least capability of each, the kernels that it lists for a platform and what
these ask for. What is said of processors with AVX2 was tried on one; the rest was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tts.engine._schemes.formats import Needs, Scheme

_ANY: frozenset[str] = frozenset()
_AMX = frozenset({"amx"})
_HALF = ("bfloat16", "float16")
# Of the kernels for 4-bit integers on a processor; the AVX2 build lacks it, and an engine without
# it dies at the first request.
_INT4_CPU = "cpu_gemm_wna16"
_GROUP = 128  # weights that share a scale, in the usual checkpoints

_PLAIN = (
    Scheme(
        "fp32", "32-bit floats", 32, 32, "fp32", Needs((7, 0), isa=_ANY), dtype="float32",
        source="IEEE 754",
    ),
    Scheme(
        "bf16", "16-bit brain floats", 16, 16, "bf16", Needs((8, 0), isa=_ANY), dtype="bfloat16",
        source="Kalamkar et al. 2019, arXiv:1905.12322",
    ),
    Scheme(
        "fp16", "16-bit floats", 16, 16, "fp16", Needs((7, 0), isa=_ANY), dtype="float16",
        source="IEEE 754",
    ),
)  # fmt: skip

_FLOATS_8 = (
    Scheme(
        "fp8", "8-bit floats, a scale for each channel and token", 8, 8, "fp8",
        # On a processor torch's own product, which widens all weights at every step.
        Needs((7, 5), (8, 9), isa=_ANY, dtypes=_HALF),
        # vLLM 0.19 has only the last, with one scale for a matrix.
        online=("fp8_per_channel", "fp8"), written=True, reference=True,
        source="Micikevicius et al. 2022, arXiv:2209.05433",
    ),
    Scheme(
        "fp8_tensor", "8-bit floats, one scale for a matrix", 8, 8, "fp8",
        Needs((7, 5), (8, 9), isa=_ANY, operators=("static_scaled_fp8_quant",), dtypes=_HALF),
        online=("fp8_per_tensor", "fp8"), written=True, calibration=True,
        source="Micikevicius et al. 2022, arXiv:2209.05433",
    ),
    Scheme(
        "fp8_block", "8-bit floats, a scale for 128 x 128 weights", 8, 8, "fp8",
        Needs((7, 5), (8, 9), isa=_AMX, operators=("fp8_scaled_mm_cpu",), dtypes=_HALF),
        online=("fp8_per_block",), written=True,
        source="DeepSeek-AI 2024, arXiv:2412.19437",
    ),
    Scheme(
        "mxfp8", "8-bit floats, a scale for 32 weights", 8 + 8 / 32, 8, "fp8",
        Needs((7, 5), (10, 0), dtypes=_HALF), online=("mxfp8",), written=True,
        source="OCP Microscaling Formats 1.0, arXiv:2310.10537",
    ),
    Scheme(
        "w8a16_fp8", "weights in 8-bit floats", 8, 16, "bf16", written=True,
        source="Micikevicius et al. 2022, arXiv:2209.05433",
    ),
)  # fmt: skip

_INTEGERS_8 = (
    Scheme(
        "w8a8_int8", "weights and activations in 8-bit integers", 8, 8, "int8",
        # CUTLASS has no such product from Blackwell on, and vLLM falls back on nothing.
        Needs((7, 5), before=(10, 0), isa=_ANY, operators=("onednn_scaled_mm",)),
        written=True, calibration=True, source="Xiao et al. 2023, arXiv:2211.10438",
    ),
    Scheme(
        "w8a16_int8", "weights in 8-bit integers", 8 + 16 / _GROUP, 16, "bf16",
        written=True, calibration=True, source="Frantar et al. 2023, arXiv:2210.17323",
    ),
    Scheme(
        "int8_experts", "experts in 8-bit integers, all else as it is", 8, 16, "bf16",
        Needs((7, 5), isa=_AMX, dtypes=_HALF),
        online=("int8_per_channel_weight_only", "experts_int8"), experts_only=True,
        source="Dettmers et al. 2022, arXiv:2208.07339",
    ),
)  # fmt: skip

_INTEGERS_4 = (
    Scheme(
        "w4a16_gptq", "weights in 4-bit integers by GPTQ, groups of 128", 4 + 16 / _GROUP, 16,
        "bf16", Needs((7, 5), isa=_ANY, operators=(_INT4_CPU,)), written=True, calibration=True,
        source="Frantar et al. 2023, arXiv:2210.17323",
    ),
    Scheme(
        "w4a16_awq", "weights in 4-bit integers with zeros by AWQ, groups of 128",
        4 + (16 + 4) / _GROUP, 16, "bf16", Needs((7, 5), isa=_ANY, operators=(_INT4_CPU,)),
        written=True, calibration=True, source="Lin et al. 2024, arXiv:2306.00978",
    ),
    Scheme(
        "w4a8_fp8", "weights in 4-bit integers, activations in 8-bit floats", 4 + 16 / _GROUP, 8,
        "fp8", Needs((9, 0), before=(10, 0)), written=True, calibration=True,
        source="CUTLASS's mixed-input products for Hopper",
    ),
    Scheme(
        # On x86 the kernel keeps a pair of weights in a float32, beside the checkpoint's int8.
        "w4a8_int8", "weights in 4-bit integers, activations in 8-bit ones", 24 + 16 / _GROUP, 8,
        "int8", Needs(None, isa=_ANY), written=True, calibration=True, reference=True,
        source="torch's _dyn_quant_matmul_4bit, made for Arm",
    ),
    Scheme(
        "w4a8_kv4", "4-bit weights, 8-bit activations, 4-bit KV cache (QServe)",
        4 + (8 + 4) / _GROUP, 8, "int8", Needs(None), written=True, calibration=True,
        absent="kernels that vLLM does not have", source="Lin et al. 2025, arXiv:2405.04532",
    ),
)  # fmt: skip

_FLOATS_4 = (
    Scheme(
        "nvfp4", "4-bit floats, a scale for 16 weights", 4 + 8 / 16, 4, "fp4",
        Needs((7, 5), (10, 0)), written=True, calibration=True,
        source="NVIDIA, Introducing NVFP4, 2025",
    ),
    Scheme(
        "nvfp4a16", "weights in 4-bit floats, a scale for 16", 4 + 8 / 16, 16, "bf16",
        written=True, source="NVIDIA, Introducing NVFP4, 2025",
    ),
    Scheme(
        "mxfp4", "4-bit floats, a scale for 32 weights", 4 + 8 / 32, 4, "fp4",
        Needs((8, 0), (10, 0), dtypes=_HALF), online=("mxfp4",), written=True,
        source="OCP Microscaling Formats 1.0, arXiv:2310.10537",
    ),
    Scheme(
        "mxfp4_experts", "experts in 4-bit floats, all else as it is (gpt-oss)", 4 + 8 / 32, 16,
        "bf16", Needs((8, 0), isa=_AMX), written=True, experts_only=True,
        source="OpenAI 2025, arXiv:2508.10925",
    ),
    Scheme(
        "nf4", "weights in 4-bit normal floats, a scale for 64 (bitsandbytes)", 4 + 32 / 64, 16,
        "bf16", Needs((7, 0), dtypes=_HALF), online=("bitsandbytes",), written=True,
        plugin="vllm-bnb-plugin", method="bitsandbytes",
        source="Dettmers et al. 2023, arXiv:2305.14314",
    ),
    Scheme(
        "fp4", "weights in 4-bit floats, a scale for 64 (bitsandbytes)", 4 + 32 / 64, 16, "bf16",
        Needs((7, 0)), written=True, plugin="vllm-bnb-plugin", method="bitsandbytes",
        source="Dettmers et al. 2023, arXiv:2305.14314",
    ),
)  # fmt: skip

_OTHERS = (
    Scheme(
        "llm_int8", "weights in 8-bit integers, outliers in 16 bits (bitsandbytes)", 8, 8, "int8",
        Needs((7, 0)), written=True, plugin="vllm-bnb-plugin", method="bitsandbytes",
        source="Dettmers et al. 2022, arXiv:2208.07339",
    ),
    Scheme(
        "gguf", "llama.cpp's blocks of 256 weights; the bits are those of Q4_K", 4.5, 16, "bf16",
        Needs((6, 0)), written=True, plugin="vllm-gguf-plugin", method="gguf",
        source="llama.cpp, ggml-quants",
    ),
)  # fmt: skip

SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        row.name: row
        for row in (*_PLAIN, *_FLOATS_8, *_INTEGERS_8, *_INTEGERS_4, *_FLOATS_4, *_OTHERS)
    }
)
"""Every scheme, by its name."""
