"""Bytes of weights and of the KV cache under a scheme and a format: pure."""

from __future__ import annotations

from tts.engine._schemes.formats import CacheFormat, Scheme
from tts.engine.shape import Shape, item_bytes


def weight_bytes(scheme: Scheme | None, shape: Shape, dtype: str) -> float:
    """Bytes of a model's weights as they are loaded.

    A scheme narrows the matrices of the layers alone, or of their experts; the rest keeps `dtype`.
    A checkpoint that is quantised already is as large as its files, unless the kernel unpacks it.

    Args:
        scheme: Of the weights; None if it is not known.
        shape: Of the model.
        dtype: Data type that it is loaded with; `auto` for the checkpoint's own.
    """
    if scheme is None:
        return shape.weight_bytes
    if shape.quantization:
        return max(shape.weight_bytes, scheme.weight_bits * shape.layer_params / 8)
    width = item_bytes(shape.dtype if dtype == "auto" else dtype)
    numbers = shape.weight_bytes / item_bytes(shape.dtype)
    narrowed = 0 if scheme.plain else min(numbers, _narrowed(scheme, shape))
    return (numbers - narrowed) * width + narrowed * scheme.weight_bits / 8


def token_bytes(fmt: CacheFormat, shape: Shape, dtype: str) -> float:
    """Bytes of the keys and values of one token, in all layers.

    Args:
        fmt: Of the cache.
        shape: Of the model.
        dtype: Data type of the activations; `auto` for the checkpoint's own.
    """
    bits = fmt.bits or 8 * item_bytes(shape.dtype if dtype == "auto" else dtype)
    numbers = shape.cache_bytes(1)
    return (numbers * bits + numbers / shape.head_size * fmt.head_bits) / 8


def _narrowed(scheme: Scheme, shape: Shape) -> int:
    """Weights that the scheme quantises."""
    if not scheme.experts_only:
        return shape.layer_params
    part = shape.feed_forward
    return shape.layers * part.matrices * shape.width * part.width * part.experts
