"""Refuse in words what could not run, before the engine starts.

Starting an engine takes half a minute, and what it says when it fails is a page of somebody else's
stack trace; some combinations even load and then die at the first request (4-bit weights on a
processor without the kernel). Each check here looks at one thing and raises one sentence and a
hint. What is not known to fail is let through: the engine has the last word.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tts.engine.config import EngineConfig
from tts.engine.hardware import Hardware, has_operator
from tts.engine.memory import Tenant, beside, shares, tenants
from tts.engine.resolved import ResolvedConfig, cache_need_gib
from tts.engine.shape import Shape
from tts.errors import ConfigError, ModelNotFound, Unsupported

_LOG = logging.getLogger("tts.engine")
_DTYPES = ("auto", "float32", "bfloat16", "float16", "half", "float")
# Schemes of which only GPU kernels exist.
_GPU_ONLY = (
    "awq_marlin", "bitsandbytes", "exl3", "experts_int8", "gptq_marlin", "humming", "marlin",
    "modelopt", "moe_wna16", "mxfp4", "mxfp8", "nvfp4", "petit", "quark",
)  # fmt: skip
# Formats that a checkpoint is written in, unlike schemes that are applied while loading.
_WRITTEN = ("awq", "auto_awq", "gptq", "auto_gptq", "compressed-tensors")
_SIZES_ON_CPU = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)


def check(
    config: EngineConfig,
    resolved: ResolvedConfig,
    hardware: Hardware,
    shape: Shape,
    operator: Callable[[str], bool] = has_operator,
    others: Sequence[Tenant] | None = None,
) -> None:
    """Run every check; each costs microseconds, but for 4- and 8-bit weights on a processor.

    Args:
        config: What the user said.
        resolved: What came of it.
        hardware: The machine.
        shape: Of the model.
        operator: Whether the engine's compiled operators include a name.
        others: Engines on the same memory; by default those of this process.

    Raises:
        ModelNotFound: The checkpoint has no weights.
        Unsupported: The machine cannot run what is asked.
        ConfigError: Two settings contradict each other or the model.
    """
    if not shape.weight_bytes:
        raise ModelNotFound(
            f"'{resolved.path}' is no model: it holds no weights (*.safetensors).",
            hint="Copy the weights beside config.json.",
        )
    if resolved.role == "policy" and shape.labels:
        raise ConfigError(
            f"{config.model} is a reward model: it gives values, and writes nothing.",
            hint="Let a verifier use it, and take a language model to write.",
        )
    _check_lengths(config, resolved, shape)
    _check_dtype(config, resolved, hardware)
    _check_quantization(config, resolved, hardware, shape, operator)
    _check_cache_dtype(config, resolved, hardware)
    others = tenants(on_gpu=hardware.is_cuda) if others is None else others
    if hardware.is_cuda:
        _check_gpus(config, resolved, hardware, shape)
        if others:
            shares([*others, Tenant(resolved.footprint)])
    else:
        _check_processor(config, shape)
        _check_memory(resolved, hardware, shape, others)


def _check_lengths(config: EngineConfig, resolved: ResolvedConfig, shape: Shape) -> None:
    length = resolved.max_model_len
    if length > shape.context:
        raise ConfigError(
            f"max_model_len is {length}, and the model {config.model} was made for"
            f" {shape.context} tokens.",
            hint=f"Set {resolved.place}.max_model_len to {shape.context} or less.",
        )
    batch = resolved.arguments.get("max_num_batched_tokens")
    if batch and batch < length and resolved.arguments.get("enable_chunked_prefill") is False:
        raise ConfigError(
            f"max_num_batched_tokens is {batch}, below max_model_len {length}, and without chunked"
            " prefill a prompt must fit in one step.",
            hint=f"Raise max_num_batched_tokens to {length}, or lower max_model_len.",
        )


def _check_dtype(config: EngineConfig, resolved: ResolvedConfig, hardware: Hardware) -> None:
    if config.dtype not in _DTYPES:
        raise ConfigError(
            f"dtype is '{config.dtype}'.", hint=f"It must be one of {', '.join(_DTYPES)}."
        )
    if config.dtype == "bfloat16" and not hardware.has_bf16:
        if hardware.is_cuda:
            raise Unsupported(
                f"This machine has no bfloat16 ({hardware}).",
                hint=f"Set {resolved.place}.dtype to float16.",
            )
        _LOG.warning("bfloat16 is emulated on this processor, at a fifth of the speed of float32")


def _check_cache_dtype(config: EngineConfig, resolved: ResolvedConfig, hardware: Hardware) -> None:
    wanted = config.kv_cache_dtype
    if wanted in ("auto", "float16", "bfloat16"):
        return
    if hardware.is_cuda:
        fine = hardware.cuda_capability >= (8, 9) or not wanted.startswith("fp8")
        needs = "a GPU of compute capability 8.9 or more"
    else:
        fine = bool(hardware.isa & {"avx512", "amx"}) and wanted.startswith(("fp8", "int8"))
        needs = "a GPU, or for 8 bits a processor with AVX-512 or AMX"
    if not fine:
        raise Unsupported(
            f"A KV cache of type '{wanted}' needs {needs}; this machine has {hardware}.",
            hint=f"Set {resolved.place}.kv_cache_dtype to auto.",
        )


def scheme(config: EngineConfig, shape: Shape) -> str:
    """The quantisation in one word: the engine's name for it, or `w4a16` and `w8a8` by bits."""
    method = config.quantization or shape.quantization.get("quant_method") or ""
    if method in ("compressed-tensors", "awq", "auto_awq", "gptq", "auto_gptq", ""):
        return _packed(shape.quantization) or method
    return str(method)


def _packed(settings: Mapping[str, Any]) -> str:
    """The scheme of a quantised checkpoint, by its bits; empty if it says nothing."""
    if settings.get("bits"):  # awq and gptq
        return f"w{settings['bits']}a16"
    for group in (settings.get("config_groups") or {}).values():
        weights, inputs = group.get("weights") or {}, group.get("input_activations") or {}
        if weights.get("type") == "float":
            return f"fp{weights.get('num_bits')}"
        return f"w{weights.get('num_bits')}a{inputs.get('num_bits') or 16}"
    return ""


def _check_quantization(
    config: EngineConfig,
    resolved: ResolvedConfig,
    hardware: Hardware,
    shape: Shape,
    operator: Callable[[str], bool],
) -> None:
    name = scheme(config, shape)
    if not name:
        return
    if config.quantization in _WRITTEN and not shape.quantization:
        raise ConfigError(
            f"quantization is '{config.quantization}', and the checkpoint of {config.model} was not"
            " written in that format.",
            hint=f"Leave {resolved.place}.quantization unset, or take a checkpoint quantised that"
            " way.",
        )
    if hardware.is_cuda:
        lack = "a GPU of compute capability 8.0 or more"
        fine = not name.startswith(("fp8", "fp4")) or hardware.cuda_capability >= (8, 0)
    else:
        lack = _lack_on_cpu(name, resolved.dtype, hardware, operator)
        fine = not lack
    if not fine:
        raise Unsupported(
            f"The quantisation '{name}' of {config.model} needs {lack}; this machine has"
            f" {hardware}.",
            hint="Take the model without quantisation, or with 8-bit integers (w8a8).",
        )


def _lack_on_cpu(name: str, dtype: str, hardware: Hardware, operator: Callable[[str], bool]) -> str:
    """What a scheme needs and a processor lacks, or nothing."""
    if name.startswith(_GPU_ONLY):
        return "a GPU"
    if name.startswith(("fp8", "fp4", "fbgemm")):
        return "" if "amx" in hardware.isa else "hardware with 8-bit floats"
    if name.startswith("w4") and not operator("cpu_gemm_wna16"):
        return "the 4-bit kernel (cpu_gemm_wna16) that vLLM's build for this processor lacks"
    if name == "w8a8" and not operator("onednn_scaled_mm"):
        return "the 8-bit kernel (onednn_scaled_mm) that vLLM's build for this processor lacks"
    if name == "int8_per_channel_weight_only" and dtype == "float32":
        return "dtype bfloat16, which its kernel alone knows"
    return ""


def _check_processor(config: EngineConfig, shape: Shape) -> None:
    if config.block_size and config.block_size % 32:
        raise Unsupported(
            f"block_size is {config.block_size}; on a processor it must be a multiple of 32.",
            hint="Use 32 for short steps.",
        )
    if shape.head_size not in _SIZES_ON_CPU:
        raise Unsupported(
            f"The attention heads of {config.model} are {shape.head_size} wide; on a processor"
            f" the engine knows {', '.join(map(str, _SIZES_ON_CPU))}.",
            hint="Take another model, or a machine with a GPU.",
        )


def _check_memory(
    resolved: ResolvedConfig, hardware: Hardware, shape: Shape, others: Sequence[Tenant]
) -> None:
    found = resolved.footprint
    cache = found.cache or 0.0
    taken, words = beside(others)
    if found.need + taken > hardware.memory_gib:
        raise ConfigError(
            f"{resolved.model} needs about {found.need:.1f} GiB (weights {found.weights:.1f}, KV"
            f" cache {cache:.1f}, engine {found.beside}){words}, and {hardware.memory_gib:.1f} GiB"
            " are free.",
            hint="Lower kv_cache_gib or max_model_len, or take a smaller model.",
        )
    one = cache_need_gib(shape, resolved.max_model_len, 1, resolved.dtype)
    if one > max(cache, 0.25):
        raise ConfigError(
            f"One sequence of max_model_len {resolved.max_model_len} takes {one:.1f} GiB of KV"
            f" cache, and kv_cache_gib is {cache:.1f}.",
            hint="Raise kv_cache_gib, or lower max_model_len.",
        )


def _check_gpus(
    config: EngineConfig, resolved: ResolvedConfig, hardware: Hardware, shape: Shape
) -> None:
    devices = config.tensor_parallel_size
    if devices > hardware.cuda_devices:
        raise ConfigError(
            f"tensor_parallel_size is {devices}, and this machine has {hardware.cuda_devices}"
            " CUDA device(s)."
        )
    if shape.query_heads % devices:
        raise ConfigError(
            f"tensor_parallel_size {devices} does not divide the {shape.query_heads} attention"
            f" heads of {config.model}."
        )
    weights = resolved.footprint.weights
    room = hardware.cuda_memory_gib * (config.gpu_memory_utilization or 0.9)
    if weights > room:
        raise ConfigError(
            f"The weights of {config.model} take {weights:.1f} GiB on each device, and"
            f" {room:.1f} GiB of it may be used.",
            hint="Raise tensor_parallel_size, or take a smaller or a quantised model.",
        )
