"""The engine's settings: what a user may say, and the environment that goes with it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tts.engine.hardware import Hardware
from tts.engine.layout import layout_of
from tts.engine.speculative import Speculative
from tts.errors import ConfigError


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
    scheme: str | None = Field(
        None,
        description="Format of weights and activations by its name, such as fp8 or w8a8_int8"
        " (docs/engine.md lists them): fills in `dtype` and `quantization`, and says what a"
        " checkpoint must be written in. Unset: as these two and the checkpoint say.",
    )
    dtype: str = Field(
        "auto",
        description="Data type of weights and arithmetic: float32, bfloat16, float16. `auto`: the"
        " model's own, or float32 where the hardware has no bfloat16.",
    )
    quantization: str | None = Field(
        None,
        description="Quantisation to apply while loading (such as fp8_per_channel), or the"
        " checkpoint's own method. Unset: as the checkpoint says.",
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
        description="Most sequences at work at once. Unset: 128 on a processor, the engine's"
        " default elsewhere; 64 for a reward model.",
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
        " full sequences need, up to 2 (for a reward model 32 sequences, up to 1); elsewhere what"
        " `gpu_memory_utilization` and other engines leave (for a reward model 64 sequences, up to"
        " a tenth of the GPU).",
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="Threads that compute, of each of an engine's workers. Unset: on a processor"
        " as many as there are cores, the engine's default elsewhere. Says more than the variable"
        " OMP_NUM_THREADS.",
    )
    tensor_parallel_size: int = Field(1, ge=1, description="Devices that share each layer.")
    pipeline_parallel_size: int = Field(
        1, ge=1, description="Stages that the layers are divided into, each on devices of its own."
    )
    data_parallel_size: int = Field(
        1, ge=1, description="Replicas of the whole, each on devices of its own."
    )
    distributed_executor_backend: Literal["mp", "ray", "uni"] | None = Field(
        None,
        description="What starts the workers: mp (processes of this machine), ray (a Ray cluster,"
        " on GPUs), uni (none: one worker, in the engine's process). Unset: uni for one worker,"
        " else mp.",
    )
    enable_sleep_mode: bool = Field(
        False, description="Be able to sleep (`VLLMBackend.sleep`); on GPUs only."
    )
    gpu_memory_utilization: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Part of a GPU's memory that this engine uses. Unset: nine tenths, less what"
        " other engines of this process need.",
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
    reproducible: bool = Field(
        False,
        description="Answers that do not depend on what else the engine does, to the last bit:"
        " float32 arithmetic with the weights as stored, and products and attention of fixed shape."
        " Slower; needs a seed where tokens are drawn.",
    )
    lora: dict[str, str] = Field(
        default_factory=dict,
        description="LoRA adapters: the folder of each, by the name under which it is asked for"
        " (`model.adapter`, `VLLMBackend.adapter`).",
    )
    speculative: Speculative | None = Field(
        None,
        description="Speculative decoding: `method`, `model`, `tokens`, `longest`, `shortest`; see"
        " docs/engine.md. Unset: none.",
    )
    trust_remote_code: bool = Field(
        False, description="Run Python code that comes with the checkpoint."
    )
    extra: dict[str, Any] = Field(
        default_factory=dict,
        description="Further arguments of vLLM's AsyncEngineArgs, passed on as they are.",
    )


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


def environment(
    hardware: Hardware,
    arguments: Mapping[str, Any],
    current: Mapping[str, str],
    threads: int | None = None,
) -> dict[str, str | None]:
    """Variables for the engine's processes; what the user has set himself stays as it is.

    Args:
        hardware: The machine.
        arguments: Of the engine.
        current: The present environment.
        threads: That compute, if the settings say how many.
    """
    told: dict[str, str | None] = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    wanted: dict[str, str | None] = {
        # The engine is started from a process with threads and an event loop: never fork it.
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
        "VLLM_NO_USAGE_STATS": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "PYTHONWARNINGS": "ignore",
    }
    if hardware.is_cuda:
        return {name: value for name, value in wanted.items() if name not in current} | told
    wanted |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(hardware.cores)}
    if arguments.get("enforce_eager"):
        # Else the first request with log-probabilities or top-k waits 5 to 15 s for a compiler.
        wanted["TORCHDYNAMO_DISABLE"] = "1"
    if layout_of(arguments).inside:
        # The model then runs inside the engine's own process: one process less, 12 s sooner up.
        wanted["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    chosen = {name: value for name, value in wanted.items() if name not in current} | told
    preloaded = current.get("LD_PRELOAD", "")
    if "omp" not in preloaded and (libraries := [str(path) for path in _libraries()]):
        chosen["LD_PRELOAD"] = ":".join([*libraries, preloaded]).rstrip(":")
    # It holds for the whole process and overrides the size that each engine is given.
    chosen["VLLM_CPU_KVCACHE_SPACE"] = None
    return chosen


def _libraries() -> Iterator[Path]:
    """What is loaded before all else: an allocator where vLLM has one with it, and OpenMP.

    vLLM would add its allocator itself, but only after a process that engines are forked from
    (`tts.engine.forking`) has been started.
    """
    found = find_spec("vllm")
    if found is not None and found.origin:
        yield from sorted((Path(found.origin).parent / "libs").glob("libtcmalloc*.so*"))[:1]
    openmp = Path(sys.prefix) / "lib" / "libiomp5.so"
    if openmp.exists():
        yield openmp
