"""What models a machine could run, asked of the pre-flight checks with models that need not exist.

The answers are those that a real model would get. Sizes hold for the engine's defaults; how fast
such a model would be is another question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tts.engine.config import EngineConfig, read_config
from tts.engine.hardware import Hardware
from tts.engine.preflight import check
from tts.engine.resolved import resolve
from tts.engine.shape import Shape, item_bytes
from tts.errors import ConfigError

Operator = Callable[[str], bool]

DTYPES = ("float32", "bfloat16", "float16")

_SHAPE = Shape(  # of a model of a billion parameters
    layers=16,
    query_heads=32,
    key_value_heads=8,
    head_size=64,
    active_params=10**9,
    context=8192,
    weight_bytes=1,
    dtype="bfloat16",
)
_MOST = 10**13


def _integers(bits: int, inputs: int | None) -> Mapping[str, Any]:
    activations = {"num_bits": inputs, "type": "int"} if inputs else None
    weights = {"num_bits": bits, "type": "int"}
    group = {"weights": weights, "input_activations": activations}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}}


_WRITTEN: Mapping[str, Mapping[str, Any]] = {
    "8-bit integers (w8a8)": _integers(8, 8),
    "4-bit weights (w4a16)": _integers(4, None),
    "8-bit floats (fp8)": {"quant_method": "fp8"},
}
_APPLIED = ("int8_per_channel_weight_only",)


def dtypes(hardware: Hardware) -> list[str]:
    """The data types that would be let through."""
    return [name for name in DTYPES if _passes(hardware, read_config({"dtype": name}), _SHAPE)]


def quantisations(hardware: Hardware, operator: Operator) -> list[str]:
    """The quantisations that would be let through.

    Args:
        hardware: The machine.
        operator: Whether the engine's compiled operators include a name.
    """
    written = [
        name
        for name, settings in _WRITTEN.items()
        if _passes(hardware, read_config(None), replace(_SHAPE, quantization=settings), operator)
    ]
    applied = [
        name for name in _APPLIED if _passes(hardware, read_config({"quantization": name}), _SHAPE)
    ]
    return written + applied


def largest(hardware: Hardware, dtype: str) -> int:
    """Parameters of the largest dense model whose weights would fit, on one device.

    Args:
        hardware: The machine.
        dtype: Of the weights, one of `DTYPES`.
    """
    low, high = 0, _MOST
    while low < high:
        middle = (low + high + 1) // 2
        shape = replace(_SHAPE, dtype=dtype, weight_bytes=middle * item_bytes(dtype))
        if _passes(hardware, read_config({"dtype": dtype}), shape):
            low = middle
        else:
            high = middle - 1
    return low


def _passes(
    hardware: Hardware, config: EngineConfig, shape: Shape, operator: Operator = lambda _: False
) -> bool:
    path = Path()
    try:
        check(config, resolve(config, hardware, path, shape), hardware, shape, operator, ())
    except ConfigError:
        return False
    return True
