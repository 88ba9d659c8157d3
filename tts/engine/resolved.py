"""From what the user said to what the engine is given.

`resolve` is pure but for a look at the environment and at the folders of adapters: settings,
machine and model in, concrete settings out. The presets for a machine without a GPU are what
decides between usable and useless there:

* float32, since bfloat16 is emulated without AVX-512-BF16 or AMX (a fifth of the speed);
* blocks of 32 tokens: only full blocks are shared, and with the engine's default of 128 the short
  chains of a search never hit the prefix cache;
* no chunked prefill: a seeded request whose prompt is prefilled in parts kills the engine, because
  generators on a processor cannot be rewound;
* no compilation, no thread binding (it would keep a core back), and one process less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tts.engine.adapters import Adapter, arguments_of, read_adapters, reserved_params
from tts.engine.config import EngineConfig, environment
from tts.engine.guard import QUALIFIED_NAME
from tts.engine.hardware import GIB, Hardware
from tts.engine.layout import layout_of
from tts.engine.memory import Footprint
from tts.engine.reproducible import METHOD, forced_arguments, forced_variables
from tts.engine.schemes import (
    CACHE_FORMATS,
    CacheFormat,
    Scheme,
    scheme_of,
    spelt_out,
    token_bytes,
    weight_bytes,
)
from tts.engine.shape import Shape, item_bytes
from tts.engine.speculative import speculation
from tts.engine.steering import PROCESSOR
from tts.engine.surroundings import SURROUNDINGS

_CPU_CONTEXT = 4096  # a longer one must be asked for: prompts are prefilled whole on a processor
_CPU_CACHE_GIB = 2.0  # most cache that is taken unasked
# Tokens in a step. The engine's own default, and the best one for small models on a processor: a
# reward model of 2.4 million weights reads at 66% of its speed with 512, and at 90% with 8192.
_FALLBACK_BATCH = 2048
_REWARD_SEQUENCES = 64  # texts that a reward model reads at once
_REWARD_CACHED = 32  # whole texts whose cache is kept for their continuations, on a processor
_REWARD_CACHE_GIB = 1.0  # most of it that is taken unasked
_REWARD_PART = 0.1  # of a GPU, the most that a reward model's cache takes unasked
_ENGINE_GIB = 1.5  # code, libraries and buffers of the engine's process, measured on a processor
_MOST_GPU_GIB, _GPU_PART = 4.0, 0.05  # the same on a GPU, as a part of it and at most

# One library of grammars: left to itself, vLLM takes whichever the first request needs, and has
# every later one make do with that. And no white space in JSON: a weak model can write that until
# its tokens run out.
GRAMMARS = {"backend": "xgrammar", "disable_any_whitespace": True}
DRAFTING = "tts.engine.drafting.Drafting"

Role = Literal["policy", "reward"]
"""What an engine is for: to write, or to judge what was written."""


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
        role: What the engine is for.
        footprint: Memory that it takes.
        scheme: Format of weights and activations; None if it is not a known one.
        adapters: LoRA adapters, in the order of their numbers.
    """

    model: str
    path: Path
    max_model_len: int
    dtype: str
    max_logprobs: int
    arguments: Mapping[str, Any]
    environment: Mapping[str, str | None]
    on_cuda: bool
    role: Role
    footprint: Footprint
    scheme: Scheme | None = None
    adapters: tuple[Adapter, ...] = ()

    @property
    def place(self) -> str:
        """Where the user finds these settings, for messages."""
        return "verifier.engine" if self.role == "reward" else "model.engine"

    @property
    def reproducible(self) -> bool:
        """Whether answers do not depend on the batch; see `tts.engine.reproducible`."""
        return self.arguments.get("quantization") == METHOD

    @property
    def forkable(self) -> bool:
        """Whether its process may be a fork of one that has imported vLLM; see `forking`.

        Compiled models, and several processes, go their own ways; so does whoever has told vLLM how
        to start processes.
        """
        alone = not self.on_cuda and layout_of(self.arguments).inside
        ours = self.environment.get("VLLM_WORKER_MULTIPROC_METHOD") == "spawn"
        return alone and ours and "TORCHDYNAMO_DISABLE" in self.environment

    @property
    def steers(self) -> bool:
        """Whether requests can change the distribution of the next token."""
        return PROCESSOR in (self.arguments.get("logits_processors") or ())

    @property
    def grammars(self) -> str:
        """The library that holds answers to a structure; empty if none can be."""
        said = self.arguments.get("structured_outputs_config") or {}
        return str(said.get("backend", "auto")) if said else ""


def resolve(
    config: EngineConfig, hardware: Hardware, path: Path, shape: Shape, role: Role = "policy"
) -> ResolvedConfig:
    """Fill in everything that was left open.

    Args:
        config: What the user said.
        hardware: The machine.
        path: Directory of the checkpoint.
        shape: Of the model.
        role: What the engine is for.

    Raises:
        ConfigError: There is no such scheme, data type and quantisation say another one, or an
            adapter cannot be used.
    """
    config = spelt_out(config, shape)
    length = config.max_model_len or (
        shape.context if hardware.is_cuda else min(shape.context, _CPU_CONTEXT)
    )
    dtype = _dtype(config, hardware, shape)
    loaded = _loaded(dtype, hardware, shape)
    scheme = scheme_of(config.model_copy(update={"dtype": loaded}), shape)
    preset = {} if hardware.is_cuda else _on_cpu(config, hardware, shape, length, dtype, role)
    if role == "reward":
        preset |= _scoring(shape)
    ours = {"model", "extra", "kv_cache_gib", "reproducible", "scheme", "threads", "lora",
            "speculative"}  # fmt: skip
    chosen = {
        name: value for name, value in config.model_dump(exclude=ours).items() if value is not None
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
    if config.reproducible:
        arguments |= forced_arguments()
    if role == "policy":
        arguments["structured_outputs_config"] = dict(GRAMMARS)
    adapters = read_adapters(config.lora, path, shape)
    arguments |= arguments_of(adapters, on_cuda=hardware.is_cuda)
    drafts = speculation(config.speculative, path, shape)
    if drafts is not None:
        arguments["speculative_config"] = dict(drafts.words)
    arguments |= config.extra
    if role == "policy" and not arguments.get("speculative_config"):  # vLLM refuses it beside that
        arguments["logits_processors"] = [*(arguments.get("logits_processors") or ()), PROCESSOR]
    if arguments.get("speculative_config") and not hardware.is_cuda and not config.reproducible:
        arguments["worker_extension_cls"] = DRAFTING
    variables = environment(hardware, arguments, SURROUNDINGS.own(), config.threads)
    if config.reproducible:
        variables |= forced_variables(on_cuda=hardware.is_cuda)
    return ResolvedConfig(
        model=config.model,
        path=path,
        max_model_len=length,
        dtype=dtype,
        max_logprobs=config.max_logprobs,
        arguments=arguments,
        environment=variables,
        on_cuda=hardware.is_cuda,
        role=role,
        footprint=_footprint(
            config, hardware, shape, arguments, role, scheme, drafts.weight_bytes if drafts else 0
        ),
        scheme=scheme,
        adapters=adapters,
    )


def _dtype(config: EngineConfig, hardware: Hardware, shape: Shape) -> str:
    if config.reproducible:
        return "float32"
    if config.dtype != "auto" or hardware.is_cuda:
        return config.dtype
    scheme = scheme_of(config, shape)
    if scheme and scheme.needs.dtypes and config.quantization in scheme.online:
        return scheme.needs.dtypes[0]
    if shape.dtype == "float32" or not hardware.has_bf16:
        return "float32"
    return "auto"


def _loaded(dtype: str, hardware: Hardware, shape: Shape) -> str:
    """What the engine makes of `auto`: the checkpoint's type, but 16 bits on a GPU."""
    if dtype != "auto":
        return dtype
    wide = shape.dtype == "float32" or (shape.dtype == "bfloat16" and not hardware.has_bf16)
    if not hardware.is_cuda or not wide:
        return shape.dtype
    return "bfloat16" if hardware.has_bf16 else "float16"


def _scoring(shape: Shape) -> dict[str, Any]:
    """The presets of a reward model. It is sent ids, so the engine needs no tokenizer."""
    common = {"max_num_seqs": _REWARD_SEQUENCES, "skip_tokenizer_init": True}
    if shape.head == "language":
        return {**common, "runner": "generate"}
    # Some process reward models would give rows at one kind of token only ("STEP"), which also
    # switches the prefix cache off.
    pooling = {"tok_pooling_type": "ALL", "seq_pooling_type": "LAST", "use_activation": False}
    return {**common, "runner": "pooling", "pooler_config": pooling}


def _on_cpu(
    config: EngineConfig, hardware: Hardware, shape: Shape, length: int, dtype: str, role: Role
) -> dict[str, Any]:
    """The presets of a machine without a GPU."""
    if role == "reward":
        sequences, most = config.max_num_seqs or _REWARD_CACHED, _REWARD_CACHE_GIB
    else:
        sequences, most = config.max_num_seqs or 128, _CPU_CACHE_GIB
    cache = max(0.25, sequences_gib(shape, length, sequences, dtype, _format(config)))
    return {
        "max_num_seqs": 128,
        "block_size": 32,
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(_FALLBACK_BATCH, length),
        "kv_cache_memory_bytes": min(cache, most, max(0.25, 0.4 * hardware.memory_gib)),
    }


def _footprint(
    config: EngineConfig,
    hardware: Hardware,
    shape: Shape,
    arguments: Mapping[str, Any],
    role: Role,
    scheme: Scheme | None,
    beside: int,
) -> Footprint:
    """The memory that an engine will take, with `beside` bytes of a drafting model."""
    length = int(arguments["max_model_len"])
    dtype = _loaded(str(arguments["dtype"]), hardware, shape)
    layout = layout_of(arguments)
    # On GPUs of each device; on a processor of all processes together, each with a cache.
    devices = layout.pieces if hardware.is_cuda else 1 / layout.data
    caches = 1 if hardware.is_cuda else layout.workers
    form = _format(config)
    least = sequences_gib(shape, length, 1, dtype, form) / devices
    cache = arguments.get("kv_cache_memory_bytes")
    kept = "auto" if config.reproducible else dtype
    extra = beside + reserved_params(arguments, shape) * item_bytes(dtype)
    found = Footprint(
        name=config.model,
        weights=(weight_bytes(scheme, shape, kept) + extra) / GIB / devices,
        beside=_ENGINE_GIB * caches,
        cache=None if cache is None else cache / GIB * caches,
        least=least,
    )
    if not hardware.is_cuda:
        return found
    device = hardware.cuda_memory_gib
    # Buffers and graphs grow with the batches that vLLM chooses by the size of the device.
    around = min(_MOST_GPU_GIB, max(_ENGINE_GIB, _GPU_PART * device))
    part = config.gpu_memory_utilization
    if role == "reward" and found.cache is None and part is None:
        most = sequences_gib(shape, length, _REWARD_SEQUENCES, dtype, form) / devices
        found = replace(found, cache=max(least, min(most, _REWARD_PART * device)))
    return replace(found, beside=around, device=device, part=part)


def _format(config: EngineConfig) -> CacheFormat:
    return CACHE_FORMATS.get(config.kv_cache_dtype, CACHE_FORMATS["auto"])


def sequences_gib(
    shape: Shape, length: int, sequences: int, dtype: str, cache: CacheFormat
) -> float:
    """GiB that keys and values of full sequences take."""
    return sequences * length * token_bytes(cache, shape, dtype) / GIB
