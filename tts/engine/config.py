"""The engine's settings: what a user may say, and what is chosen where nothing is said.

`resolve` is pure: settings, machine and model in, concrete settings out. The presets for a machine
without a GPU are what decides between usable and useless there:

* float32, since bfloat16 is emulated without AVX-512-BF16 or AMX (a fifth of the speed);
* blocks of 32 tokens: only full blocks are shared, and with the engine's default of 128 the short
  chains of a search never hit the prefix cache;
* no chunked prefill: a seeded request whose prompt is prefilled in parts kills the engine, because
  generators on a processor cannot be rewound;
* no compilation, no thread binding (it would keep a core back), and one process less.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tts.engine.guard import QUALIFIED_NAME
from tts.engine.hardware import GIB, Hardware
from tts.engine.shape import Shape, item_bytes
from tts.errors import ConfigError

_CPU_CONTEXT = 4096  # a longer one must be asked for: prompts are prefilled whole on a processor
_CPU_CACHE_GIB = 2.0  # most cache that is taken unasked
_FALLBACK_BATCH = 2048  # tokens in a step; the engine's own default


class EngineConfig(BaseModel):
    """The engine's settings. None, and `auto`, mean: chosen from the hardware and the model."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    model: str = Field("mini-reasoner", description="Name of the model, or a path.")
    max_model_len: int | None = Field(
        None,
        ge=2,
        description="Most tokens of prompt and answer together. Unset: the model's own limit, on a"
        " processor at most 4096.",
    )
    dtype: str = Field(
        "auto",
        description="Data type of weights and arithmetic: float32, bfloat16, float16. `auto`: the"
        " model's own, or float32 where the hardware has no bfloat16.",
    )
    quantization: str | None = Field(
        None,
        description="Quantisation to apply while loading (such as int8_per_channel_weight_only),"
        " or the checkpoint's own method. Unset: as the checkpoint says.",
    )
    kv_cache_dtype: str = Field("auto", description="Data type of the KV cache; `auto`: `dtype`.")
    block_size: int | None = Field(
        None,
        ge=1,
        description="Tokens in a block of the KV cache; only full blocks are shared. Unset: 32 on"
        " a processor, the engine's default elsewhere.",
    )
    max_num_seqs: int | None = Field(
        None,
        ge=1,
        description="Most sequences decoded at once. Unset: 128 on a processor, the engine's"
        " default elsewhere.",
    )
    max_num_batched_tokens: int | None = Field(
        None,
        ge=1,
        description="Most tokens in one step of the engine. Unset: on a processor 2048, or"
        " `max_model_len` if that is more; the engine's default elsewhere.",
    )
    kv_cache_gib: float | None = Field(
        None,
        gt=0,
        description="Memory for the KV cache in GiB. Unset: on a processor what `max_num_seqs`"
        " full sequences need, up to 2; elsewhere what `gpu_memory_utilization` leaves.",
    )
    tensor_parallel_size: int = Field(1, ge=1, description="Devices that share each layer.")
    gpu_memory_utilization: float | None = Field(
        None, gt=0, le=1, description="Share of a GPU's memory to use. Unset: engine's default."
    )
    enforce_eager: bool | None = Field(
        None,
        description="Run without compilation and CUDA graphs. Unset: true on a processor, false"
        " elsewhere.",
    )
    enable_prefix_caching: bool = Field(
        True, description="Share the KV cache of equal prefixes; continuations live on it."
    )
    enable_chunked_prefill: bool | None = Field(
        None,
        description="Prefill long prompts in parts. Unset: false on a processor, where seeds would"
        " crash with it; the engine's default elsewhere.",
    )
    max_logprobs: int = Field(
        20, ge=0, description="Most likely tokens per position that a request may ask for."
    )
    trust_remote_code: bool = Field(
        False, description="Run Python code that comes with the checkpoint."
    )
    extra: dict[str, Any] = Field(
        default_factory=dict,
        description="Further arguments of vLLM's AsyncEngineArgs, passed on as they are.",
    )


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """Settings with nothing left open.

    Attributes:
        model: Name of the model, as the user gave it.
        path: Directory of the checkpoint.
        max_model_len: Most tokens of prompt and answer together.
        dtype: Data type of weights and arithmetic.
        max_logprobs: Most likely tokens per position that a request may ask for.
        arguments: For vLLM's `AsyncEngineArgs`.
        environment: Variables to set, or with None to unset, while the engine's processes start.
        on_cuda: Whether it runs on a GPU.
    """

    model: str
    path: Path
    max_model_len: int
    dtype: str
    max_logprobs: int
    arguments: Mapping[str, Any]
    environment: Mapping[str, str | None]
    on_cuda: bool


def read_config(values: EngineConfig | Mapping[str, Any] | None) -> EngineConfig:
    """Check settings that come as a mapping.

    Raises:
        ConfigError: A field is unknown or its value cannot be used; one sentence says which.
    """
    if isinstance(values, EngineConfig):
        return values
    try:
        return EngineConfig.model_validate({} if values is None else dict(values))
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            close = difflib.get_close_matches(name, EngineConfig.model_fields, n=1)
            raise ConfigError(
                f"The engine has no setting '{name}'.",
                hint=f"Did you mean '{close[0]}'?"
                if close
                else "Arguments of vLLM's own go under engine.extra.",
            ) from None
        raise ConfigError(f"engine.{name} is {fault['input']!r}: {fault['msg']}.") from None


def resolve(config: EngineConfig, hardware: Hardware, path: Path, shape: Shape) -> ResolvedConfig:
    """Fill in everything that was left open.

    Args:
        config: What the user said.
        hardware: The machine.
        path: Directory of the checkpoint.
        shape: Of the model.
    """
    length = config.max_model_len or (
        shape.context if hardware.is_cuda else min(shape.context, _CPU_CONTEXT)
    )
    dtype = _dtype(config, hardware, shape)
    preset = {} if hardware.is_cuda else _on_cpu(config, hardware, shape, length, dtype)
    chosen = {
        name: value
        for name, value in config.model_dump(exclude={"model", "extra", "kv_cache_gib"}).items()
        if value is not None
    }
    cache = {} if config.kv_cache_gib is None else {"kv_cache_memory_bytes": config.kv_cache_gib}
    arguments = {**preset, **chosen, **cache, "max_model_len": length, "dtype": dtype}
    if "kv_cache_memory_bytes" in arguments:
        arguments["kv_cache_memory_bytes"] = int(arguments["kv_cache_memory_bytes"] * GIB)
    arguments |= {
        "model": str(path),
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        "worker_extension_cls": QUALIFIED_NAME,
    }
    return ResolvedConfig(
        model=config.model,
        path=path,
        max_model_len=length,
        dtype=dtype,
        max_logprobs=config.max_logprobs,
        arguments={**arguments, **config.extra},
        environment=environment(hardware, arguments, os.environ),
        on_cuda=hardware.is_cuda,
    )


def _dtype(config: EngineConfig, hardware: Hardware, shape: Shape) -> str:
    if config.dtype != "auto" or hardware.is_cuda:
        return config.dtype
    if config.quantization == "int8_per_channel_weight_only":
        return "bfloat16"  # its kernel knows no other type
    if shape.dtype == "float32" or not hardware.has_bf16:
        return "float32"
    return "auto"


def _on_cpu(
    config: EngineConfig, hardware: Hardware, shape: Shape, length: int, dtype: str
) -> dict[str, Any]:
    """The presets of a machine without a GPU."""
    sequences = config.max_num_seqs or 128
    cache = cache_need_gib(shape, length, sequences, dtype)
    return {
        "max_num_seqs": 128,
        "block_size": 32,
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(_FALLBACK_BATCH, length),
        "kv_cache_memory_bytes": min(cache, _CPU_CACHE_GIB, max(0.25, 0.4 * hardware.memory_gib)),
    }


def cache_need_gib(shape: Shape, length: int, sequences: int, dtype: str) -> float:
    """GiB that keys and values of full sequences take; at least a quarter of a GiB."""
    width = item_bytes(shape.dtype if dtype == "auto" else dtype)
    return max(0.25, sequences * length * shape.cache_bytes(width) / GIB)


def environment(
    hardware: Hardware, arguments: Mapping[str, Any], current: Mapping[str, str]
) -> dict[str, str | None]:
    """Variables for the engine's processes; what the user has set himself stays as it is.

    Args:
        hardware: The machine.
        arguments: Of the engine.
        current: The present environment.
    """
    wanted: dict[str, str | None] = {
        # The engine is started from a process with threads and an event loop: never fork it.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "PYTHONWARNINGS": "ignore",
    }
    if hardware.is_cuda:
        return {name: value for name, value in wanted.items() if name not in current}
    wanted |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(hardware.cores)}
    if arguments.get("enforce_eager"):
        # Else the first request with log-probabilities or top-k waits 5 to 15 s for a compiler.
        wanted["TORCHDYNAMO_DISABLE"] = "1"
    if arguments.get("tensor_parallel_size", 1) == 1:
        # The model then runs inside the engine's own process: one process less, 12 s sooner up.
        wanted["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    chosen = {name: value for name, value in wanted.items() if name not in current}
    openmp = Path(sys.prefix) / "lib" / "libiomp5.so"
    preloaded = current.get("LD_PRELOAD", "")
    if openmp.exists() and "omp" not in preloaded:
        chosen["LD_PRELOAD"] = f"{openmp}:{preloaded}".rstrip(":")
    # It holds for the whole process and overrides the size that each engine is given.
    chosen["VLLM_CPU_KVCACHE_SPACE"] = None
    return chosen
