"""The largest model that a machine could run, asked of the pre-flight checks.

The models need not exist: the answer is the one that a real one would get. It holds for the
engine's defaults; how fast such a model would be is another question.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tts.engine.config import EngineConfig, read_config
from tts.engine.hardware import Hardware
from tts.engine.preflight import check
from tts.engine.resolved import resolve
from tts.engine.shape import Shape, item_bytes
from tts.errors import ConfigError

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


def largest(hardware: Hardware, dtype: str) -> int:
    """Parameters of the largest dense model whose weights would fit, on one device.

    Args:
        hardware: The machine.
        dtype: Of the weights: float32, bfloat16 or float16.
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


def _passes(hardware: Hardware, config: EngineConfig, shape: Shape) -> bool:
    resolved = resolve(config, hardware, Path(), shape)
    try:
        check(config, resolved, hardware, shape, lambda _: False, ())
    except ConfigError:
        return False
    return True
