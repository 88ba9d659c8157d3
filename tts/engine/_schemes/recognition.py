"""Which scheme settings and checkpoint make together: pure, from `quantization_config` alone.

What a checkpoint says of itself is nobody's standard: each tool writes its own words. Those that
vLLM reads are known here; of others None is said, and the engine has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tts.engine._schemes.formats import Scheme
from tts.engine._schemes.table import SCHEMES
from tts.engine.config import EngineConfig
from tts.engine.shape import Shape

_DTYPES = {
    "float32": "fp32", "float": "fp32", "bfloat16": "bf16", "float16": "fp16", "half": "fp16",
}  # fmt: skip
_ONLINE = {
    argument: row.name for row in reversed(list(SCHEMES.values())) for argument in row.online
}

Settings = Mapping[str, Any]


def scheme_of(config: EngineConfig, shape: Shape) -> Scheme | None:
    """The scheme that the user names, or that quantisation or data type amount to.

    Args:
        config: What the user said.
        shape: Of the model, with its checkpoint's `quantization_config`.

    Returns:
        The row of the table; None if it has none for what is asked.
    """
    if config.scheme:
        return SCHEMES.get(config.scheme)
    if config.quantization and not shape.quantization:
        return SCHEMES.get(_ONLINE.get(config.quantization) or written(config.quantization, {}))
    if shape.quantization:
        return written_scheme(shape)
    return SCHEMES.get(_DTYPES.get(shape.dtype if config.dtype == "auto" else config.dtype, ""))


def written_scheme(shape: Shape) -> Scheme | None:
    """The scheme that a quantised checkpoint was written in; None for a plain or unknown one."""
    settings = shape.quantization
    return SCHEMES.get(written(str(settings.get("quant_method") or ""), settings))


def written(method: str, settings: Settings) -> str:
    """Name of the scheme of a checkpoint by its `quant_method`; empty if none is known.

    Args:
        method: As the checkpoint, or the engine's argument `quantization`, says it.
        settings: The whole `quantization_config`; empty if there is no such checkpoint.
    """
    reader = _READERS.get(method)
    return reader(settings) if reader else ""


def _gptq(settings: Settings) -> str:
    return {4: "w4a16_gptq", 8: "w8a16_int8"}.get(settings.get("bits", 4), "")


def _awq(settings: Settings) -> str:
    bits = settings.get("bits") or settings.get("w_bit") or 4
    return "w4a16_awq" if bits == 4 else ""


def _fp8(settings: Settings) -> str:
    if settings.get("store_dtype") == "mxfp4":
        return "mxfp4_experts"
    return "fp8_block" if settings.get("weight_block_size") else "fp8_tensor"


def _bitsandbytes(settings: Settings) -> str:
    if settings.get("load_in_8bit"):
        return "llm_int8"
    return str(settings.get("bnb_4bit_quant_type") or "fp4")


def _modelopt(settings: Settings) -> str:
    algorithm = str(settings.get("quant_algo") or "FP8").upper()
    names = {"NVFP4": "nvfp4", "W4A16_NVFP4": "nvfp4a16", "MXFP8": "mxfp8", "FP8": "fp8_tensor"}
    return names.get(algorithm, "")


def _compressed(settings: Settings) -> str:
    """Of several groups the one with the fewest bits: it asks most of the machine."""
    groups = (settings.get("config_groups") or {}).values()
    names = [_group(each.get("weights") or {}, each.get("input_activations")) for each in groups]
    if not names or "" in names:
        return ""
    return min(names, key=lambda name: SCHEMES[name].weight_bits)


def _group(weights: Settings, inputs: Settings | None) -> str:
    """One group of layers in the words of compressed-tensors."""
    if weights.get("type") == "float":
        return _floats(weights, inputs)
    bits = int(weights.get("num_bits") or 0)
    if not inputs:
        # Both ways of rounding are written in one format; zeros are AWQ's habit.
        four = "w4a16_gptq" if weights.get("symmetric", True) else "w4a16_awq"
        return {4: four, 8: "w8a16_int8"}.get(bits, "")
    if inputs.get("num_bits") != 8:
        return ""
    four = "w4a8_fp8" if inputs.get("type") == "float" else "w4a8_int8"
    return {4: four, 8: "w8a8_int8"}.get(bits, "")


def _floats(weights: Settings, inputs: Settings | None) -> str:
    strategy, bits = weights.get("strategy"), weights.get("num_bits")
    if bits == 4:
        if strategy == "tensor_group":
            return "nvfp4" if inputs else "nvfp4a16"
        return "mxfp4" if strategy == "group" else ""
    if bits != 8:
        return ""
    if inputs is None:
        return "w8a16_fp8"
    if strategy == "channel" and inputs.get("strategy") == "token":
        return "fp8"
    return {"block": "fp8_block", "group": "mxfp8"}.get(str(strategy), "fp8_tensor")


_READERS: Mapping[str, Callable[[Settings], str]] = {
    **dict.fromkeys(("awq", "auto_awq", "awq_marlin"), _awq),
    **dict.fromkeys(("gptq", "auto_gptq", "gptq_marlin", "auto-round", "inc"), _gptq),
    **dict.fromkeys(("modelopt", "modelopt_fp4", "modelopt_mxfp8"), _modelopt),
    **dict.fromkeys(("mxfp4", "gpt_oss_mxfp4"), lambda _: "mxfp4_experts"),
    "bitsandbytes": _bitsandbytes,
    "compressed-tensors": _compressed,
    "fbgemm_fp8": lambda _: "fp8",
    "fp8": _fp8,
    "gguf": lambda _: "gguf",
    "mxfp8": lambda _: "mxfp8",
}
