"""How an engine is spread over devices: by tensors, by stages, and in replicas.

What cannot be spread so is refused here, with the numbers in it. What several machines of a Ray
cluster have is not known from here, so devices are counted only where all are of this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from tts.engine.hardware import Hardware
from tts.engine.shape import Shape
from tts.errors import ConfigError, Unsupported


@dataclass(frozen=True, slots=True)
class Layout:
    """How an engine is spread.

    Attributes:
        tensor: Devices that share each layer.
        pipeline: Stages, each with a part of the layers.
        data: Replicas of all that.
        executor: What starts the workers: `mp`, `ray`, `uni`, or whatever else vLLM knows; None
            leaves it to vLLM.
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    executor: str | None = None

    @property
    def pieces(self) -> int:
        """Parts that the weights are cut into."""
        return self.tensor * self.pipeline

    @property
    def workers(self) -> int:
        """Devices that are needed; on a processor, processes."""
        return self.pieces * self.data

    @property
    def inside(self) -> bool:
        """Whether the model runs inside the engine's own process."""
        return self.workers == 1 and self.executor in (None, "uni")

    def __str__(self) -> str:
        parts = {
            "tensor_parallel_size": self.tensor,
            "pipeline_parallel_size": self.pipeline,
            "data_parallel_size": self.data,
        }
        return " x ".join(f"{name} {n}" for name, n in parts.items() if n > 1) or "one worker"


def layout_of(arguments: Mapping[str, Any]) -> Layout:
    """The layout in the arguments of an engine, wherever the user has said it."""
    executor = arguments.get("distributed_executor_backend")
    return Layout(
        int(arguments.get("tensor_parallel_size") or 1),
        int(arguments.get("pipeline_parallel_size") or 1),
        int(arguments.get("data_parallel_size") or 1),
        executor if executor is None or isinstance(executor, str) else "custom",
    )


def check_layout(layout: Layout, model: str, hardware: Hardware, shape: Shape) -> None:
    """Refuse a layout that this machine lacks devices for, or that does not suit the model.

    Raises:
        Unsupported: This machine, or what is installed on it, cannot do that.
        ConfigError: The model cannot be divided so, or two settings contradict each other.
    """
    if layout.executor == "uni" and layout.pieces > 1:
        raise ConfigError(
            f"distributed_executor_backend is 'uni', which runs one worker, and {layout} makes"
            f" {layout.pieces}.",
            hint="Set it to mp, or leave it out.",
        )
    if layout.executor == "ray":
        _check_ray(hardware)
    elif hardware.is_cuda:
        _check_devices(layout, hardware)
    else:
        _check_processes(layout, hardware)
    _check_division(layout, model, shape)


def _check_division(layout: Layout, model: str, shape: Shape) -> None:
    tensor, kept = layout.tensor, shape.key_value_heads
    if shape.query_heads % tensor:
        raise ConfigError(
            f"tensor_parallel_size {tensor} does not divide the {shape.query_heads} attention"
            f" heads of {model}."
        )
    # Heads of the cache are divided too, or else each is kept on several devices.
    if kept % tensor and tensor % kept:
        raise ConfigError(
            f"tensor_parallel_size {tensor} and the {kept} key-value heads of {model} do not divide"
            " each other.",
            hint=f"Take a divisor of {kept}, or a multiple.",
        )
    if layout.pipeline > shape.layers:
        raise ConfigError(
            f"pipeline_parallel_size is {layout.pipeline}, and {model} has {shape.layers} layers:"
            " a stage needs at least one.",
            hint=f"Set it to {shape.layers} or less.",
        )


def _check_ray(hardware: Hardware) -> None:
    if not hardware.is_cuda:
        raise Unsupported(
            "distributed_executor_backend is 'ray', and vLLM spreads no engine over processors"
            " with Ray.",
            hint="Leave it out; executor=ray puts a whole engine on each worker of a cluster.",
        )
    if find_spec("ray") is None:
        raise Unsupported(
            "distributed_executor_backend is 'ray', and Ray is not installed.",
            hint="pip install 'tts-scaling[ray]', or set it to mp.",
        )


def _check_devices(layout: Layout, hardware: Hardware) -> None:
    if layout.workers <= hardware.cuda_devices:
        return
    if layout.workers == layout.tensor:
        said = f"tensor_parallel_size is {layout.tensor}"
    else:
        said = f"{layout} makes {layout.workers} workers"
    raise ConfigError(
        f"{said}, and this machine has {hardware.cuda_devices} CUDA device(s).",
        hint="Lower it; or, for the devices of several machines, set"
        " distributed_executor_backend to ray.",
    )


def _check_processes(layout: Layout, hardware: Hardware) -> None:
    if layout.workers > hardware.cores:
        raise Unsupported(
            f"{layout} makes {layout.workers} processes, and this machine has {hardware.cores}"
            " processor cores.",
            hint="Take no more processes than there are cores.",
        )
