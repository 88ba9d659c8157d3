"""Refuse in words what could not run, before the engine starts.

Starting an engine takes half a minute, and what it says when it fails is a page of somebody else's
stack trace; some combinations even load and then die at the first request (4-bit weights on a
processor without the kernel). Each check here looks at one thing and raises one sentence and a
hint. What is not known to fail is let through: the engine has the last word.
"""

from __future__ import annotations

from collections.abc import Sequence

from tts.engine._schemes.refusal import check_cache, check_scheme
from tts.engine.config import EngineConfig
from tts.engine.hardware import Hardware, has_operator
from tts.engine.layout import check_layout, layout_of
from tts.engine.memory import Tenant, beside, shares, tenants
from tts.engine.reproducible import check_reproducible
from tts.engine.resolved import ResolvedConfig
from tts.engine.rest import check_sleep
from tts.engine.schemes import Operator
from tts.engine.shape import Shape
from tts.errors import ConfigError, ModelNotFound, Unsupported

_DTYPES = ("auto", "float32", "bfloat16", "float16", "half", "float")
_SIZES_ON_CPU = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)


def check(
    config: EngineConfig,
    resolved: ResolvedConfig,
    hardware: Hardware,
    shape: Shape,
    operator: Operator = has_operator,
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
    _check_company(config, resolved)
    if config.reproducible:
        check_reproducible(config, resolved, hardware, shape)
    _check_lengths(config, resolved, shape)
    _check_dtype(config)
    check_scheme(config, resolved, hardware, shape, operator)
    check_cache(config, resolved, hardware, shape)
    others = tenants(on_gpu=hardware.is_cuda) if others is None else others
    check_layout(layout_of(resolved.arguments), config.model, hardware, shape)
    if config.enable_sleep_mode:
        check_sleep(resolved)
    if hardware.is_cuda:
        _check_weights(config, resolved, hardware)
        if others:
            shares([*others, Tenant(resolved.footprint)])
    else:
        _check_processor(config, hardware, shape)
        _check_memory(resolved, hardware, others)


def _check_company(config: EngineConfig, resolved: ResolvedConfig) -> None:
    """Refuse adapters and drafts beside what they cannot be had with."""
    others = {
        "a reward model": resolved.role != "policy",
        "the reproducible mode": config.reproducible,
        "extra.speculative_config": "speculative_config" in config.extra,
    }
    for name, there, refused in (
        ("lora", bool(config.lora), ("a reward model", "the reproducible mode")),
        ("speculative", config.speculative is not None, tuple(others)),
    ):
        for other in refused:
            if there and others[other]:
                raise ConfigError(
                    f"{resolved.place}.{name} cannot be had with {other}.",
                    hint="Leave one of them out.",
                )


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


def _check_dtype(config: EngineConfig) -> None:
    if config.dtype not in _DTYPES:
        raise ConfigError(
            f"dtype is '{config.dtype}'.", hint=f"It must be one of {', '.join(_DTYPES)}."
        )


def _check_processor(config: EngineConfig, hardware: Hardware, shape: Shape) -> None:
    if (config.threads or 0) > hardware.cores:
        raise Unsupported(
            f"threads is {config.threads}, and this machine has {hardware.cores} cores: threads"
            " that share a core wait for each other.",
            hint=f"Set threads to {hardware.cores} or less.",
        )
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


def _check_memory(resolved: ResolvedConfig, hardware: Hardware, others: Sequence[Tenant]) -> None:
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
    if found.least > max(cache, 0.25):
        raise ConfigError(
            f"One sequence of max_model_len {resolved.max_model_len} takes {found.least:.1f} GiB of"
            f" KV cache, and kv_cache_gib is {cache:.1f}.",
            hint="Raise kv_cache_gib, or lower max_model_len.",
        )


def _check_weights(config: EngineConfig, resolved: ResolvedConfig, hardware: Hardware) -> None:
    weights = resolved.footprint.weights
    room = hardware.cuda_memory_gib * (config.gpu_memory_utilization or 0.9)
    if weights > room:
        raise ConfigError(
            f"The weights of {config.model} take {weights:.1f} GiB on each device, and"
            f" {room:.1f} GiB of it may be used.",
            hint="Raise tensor_parallel_size or pipeline_parallel_size, or take a smaller or a"
            " quantised model.",
        )
