"""The table of formats of the KV cache, read off vLLM's attention backends (version 0.32).

On a processor there is one backend, which knows 8-bit floats and no other narrow type. On a GPU a
format runs if one of FlashAttention, FlashInfer and Triton has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tts.engine._schemes.formats import CacheFormat

_WIDE = frozenset({"avx512", "amx"})
# Hadamard rotation, keys by Lloyd and Max with a norm, values by scale and zero: 16 and 32 bits.
_TURBO = 24

_ROWS = (
    CacheFormat("auto", "as wide as the activations", 0, gpu=(7, 0), isa=frozenset()),
    CacheFormat("float16", "16-bit floats", 16, gpu=(7, 0)),
    CacheFormat("bfloat16", "16-bit brain floats", 16, gpu=(8, 0)),
    CacheFormat("fp8", "8-bit floats (e4m3)", 8, gpu=(8, 0), isa=_WIDE),
    CacheFormat("fp8_e4m3", "8-bit floats with a mantissa of 3 bits", 8, gpu=(8, 0), isa=_WIDE),
    CacheFormat("fp8_e5m2", "8-bit floats with a mantissa of 2 bits", 8, gpu=(8, 0), isa=_WIDE),
    CacheFormat("fp8_per_token_head", "8-bit floats, a scale for each head", 8, 32, gpu=(8, 9)),
    CacheFormat("int8_per_token_head", "8-bit integers, a scale for each head", 8, 32),
    CacheFormat("int4_per_token_head", "4-bit integers, a scale for each head", 4, 32),
    CacheFormat("nvfp4", "4-bit floats, a scale for 16 numbers", 4 + 8 / 16, gpu=(8, 0)),
    CacheFormat("turboquant_k8v4", "keys in 8-bit floats, values in 4 bits", 6, 16, gpu=(8, 9)),
    CacheFormat("turboquant_4bit_nc", "rotated, 4 bits", 4, _TURBO),
    CacheFormat("turboquant_k3v4_nc", "rotated, keys in 3 bits, values in 4", 3.5, _TURBO),
    CacheFormat("turboquant_3bit_nc", "rotated, 3 bits", 3, _TURBO),
)

CACHE_FORMATS: Mapping[str, CacheFormat] = MappingProxyType({row.name: row for row in _ROWS})
"""Every format of the KV cache, by the engine's name for it."""
