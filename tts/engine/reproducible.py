"""Reproducible mode: a request's tokens and log-probabilities do not depend on the other requests.

Light: says what the engine is told, and what cannot be run so. The work is done inside the engine's
processes, by `layercast` (weights and products), `single_queries` (attention on a processor) and
`fixed_product`. What they leave alone works row by row: norms, rotary embedding, activations, the
sampler, whose noise comes from a request's own seed.

Everything is computed in float32, the KV cache included. Batches, their order, the prefix cache
and preemption then change nothing, to the last bit. Other machines may: their instruction sets and
caches choose other kernels, and so does another version of vLLM or torch.

On a GPU vLLM's own batch-invariant kernels take the place of ours; for want of one that has not
been run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from tts.engine.guard import Guard
from tts.engine.hardware import Hardware
from tts.engine.shape import Shape
from tts.errors import ConfigError, Unsupported

if TYPE_CHECKING:
    from tts.engine.config import EngineConfig
    from tts.engine.resolved import ResolvedConfig

METHOD = "layercast"
"""vLLM's name for how weights are handled; `tts.engine.layercast` makes it known."""

_WORKER = f"{__name__}.Reproducible"
_ATTENTION = "tts.engine.single_queries.SingleQueries"
# Of `extra`: what draws or computes in ways that nobody has made independent of the batch.
_REFUSED = (
    "speculative_config", "enable_lora", "pipeline_parallel_size", "data_parallel_size",
    "attention_backend", "attention_config", "linear_backend", "compilation_config",
)  # fmt: skip


class Reproducible(Guard):
    """Mixed into vLLM's worker class; making a worker puts our attention in the place of vLLM's."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Tell vLLM which attention to take, then make the worker."""
        from vllm.v1.attention.backends.registry import AttentionBackendEnum, register_backend

        register_backend(AttentionBackendEnum.CPU_ATTN, _ATTENTION)
        return super().__new__(cls)


def forced_arguments() -> dict[str, Any]:
    """What vLLM is told."""
    return {
        "dtype": "float32",
        "quantization": METHOD,
        "enforce_eager": True,
        "worker_extension_cls": _WORKER,
    }


def forced_variables(*, on_cuda: bool) -> Mapping[str, str]:
    """Variables that the engine's processes need, whatever the user has set."""
    return {"VLLM_BATCH_INVARIANT": "1"} if on_cuda else {"VLLM_CPU_ATTN_SPLIT_KV": "0"}


def check_reproducible(
    config: EngineConfig, resolved: ResolvedConfig, hardware: Hardware, shape: Shape
) -> None:
    """Refuse what cannot be run reproducibly, or is not known to be.

    Args:
        config: What the user said.
        resolved: What came of it.
        hardware: The machine.
        shape: Of the model.

    Raises:
        ConfigError: Another setting contradicts it.
        Unsupported: The model or the machine cannot be run so.
    """
    place = resolved.place
    for name, wrong in _contradictions(config).items():
        raise ConfigError(
            f"{place}.{name} is {wrong!r}, and reproducible mode needs it unset.",
            hint=f"Take {place}.{name} out, or set {place}.reproducible to false.",
        )
    lack = _lack(resolved, hardware, shape)
    if lack:
        raise Unsupported(
            f"{config.model} cannot be run reproducibly: {lack}.",
            hint=f"Set {place}.reproducible to false, or take another model or machine.",
        )


def _contradictions(config: EngineConfig) -> dict[str, Any]:
    """Settings that reproducible mode decides itself, or that nobody has tried with it."""
    said: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "dtype": (config.dtype, ("auto", "float32", "float")),
        "quantization": (config.quantization, (None,)),
        "scheme": (config.scheme, (None, "fp32")),
        "kv_cache_dtype": (config.kv_cache_dtype, ("auto", "float32")),
        "enforce_eager": (config.enforce_eager, (None, True)),
        "tensor_parallel_size": (config.tensor_parallel_size, (1,)),
        "pipeline_parallel_size": (config.pipeline_parallel_size, (1,)),
        "data_parallel_size": (config.data_parallel_size, (1,)),
    }
    found = {name: value for name, (value, fine) in said.items() if value not in fine}
    return found | {
        f"extra.{name}": config.extra[name] for name in _REFUSED if name in config.extra
    }


def _lack(resolved: ResolvedConfig, hardware: Hardware, shape: Shape) -> str:
    """What is in the way, in words; nothing if it can be run."""
    if shape.quantization:
        return "its checkpoint is quantised, and kernels of such weights follow the batch"
    if shape.feed_forward.experts:
        return "it is a mixture of experts, whose kernels follow the batch"
    if resolved.role == "reward":
        return "it is a reward model, which reads and draws nothing"
    if hardware.is_cuda and hardware.cuda_capability < (8, 0):
        return f"vLLM's kernels for it need a GPU of compute capability 8.0; this is {hardware}"
    return ""
