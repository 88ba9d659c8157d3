"""How fast matrix products and memory are on this machine, measured in a process of its own.

`measure` starts a child (`tts.engine.bench`) under the engine's environment, its threads and its
OpenMP library, so that the speeds are those which the engine's kernels will have. The matrices are
those of the model at hand, as many layers of them as it has: whether weights stay in a processor's
cache, and how long it takes to put them in order, depends on their sizes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tts.engine.config import environment
from tts.engine.hardware import Hardware
from tts.engine.shape import Shape
from tts.errors import BackendError

BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Types of arithmetic that can be measured, and the bytes of a weight in each."""

_PACKAGE = Path(__file__).resolve().parents[1]
_CHILD = "tts.engine.bench"


@dataclass(frozen=True, slots=True)
class Layers:
    """The matrices of a model.

    Attributes:
        matrices: Inputs and outputs of those of one layer; of a mixture, of one expert.
        count: Number of layers.
        arithmetics: Types in which they are to be multiplied, of `BYTES`.
    """

    matrices: tuple[tuple[int, int], ...]
    count: int
    arithmetics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kernel:
    """The times of one arithmetic.

    Attributes:
        weights: Number of weights in all matrices that were multiplied.
        seconds: For all of them, by number of rows; what the simplest call costs is taken off.
    """

    weights: int
    seconds: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Speeds:
    """What was measured.

    Attributes:
        bandwidth: Bytes that are read from memory in a second.
        draw: Seconds for each logit to draw a token.
        kernels: For each model, by type of arithmetic.
    """

    bandwidth: float
    draw: float
    kernels: tuple[Mapping[str, Kernel], ...]


def layers(shape: Shape, arithmetics: Sequence[str]) -> Layers:
    """The matrices of a model, for `measure`."""
    width, queries, part = shape.width, shape.attention_width, shape.feed_forward
    values = 2 * shape.key_value_heads * shape.head_size
    matrices = (
        (width, queries + values),
        (queries, width),
        (width, (part.matrices - 1) * part.width),
        (part.width, width),
    )
    return Layers(matrices, shape.layers, tuple(arithmetics))


def measure(models: Sequence[Layers], hardware: Hardware, limit: float = 300.0) -> Speeds:
    """Measure this machine; takes a few seconds for each model and type.

    Args:
        models: Whose matrices are multiplied.
        hardware: This machine.
        limit: Seconds that it may take.

    Raises:
        BackendError: The measurement failed, or took too long.
    """
    asked = {"models": [asdict(each) for each in models], "cuda": hardware.is_cuda}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", _CHILD],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
            env=_environment(hardware),
        )
    except subprocess.TimeoutExpired:
        raise BackendError(f"Measuring this machine took more than {limit:.0f} s.") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BackendError(f"This machine could not be measured: {last}")
    return speeds_of(json.loads(lines[-1]))


def speeds_of(document: Mapping[str, Any]) -> Speeds:
    """Speeds out of JSON."""
    kernels = tuple(
        {name: Kernel(each["weights"], _by_rows(each["seconds"])) for name, each in one.items()}
        for one in document["kernels"]
    )
    return Speeds(document["bandwidth"], document["draw"], kernels)


def _by_rows(times: Mapping[Any, float]) -> dict[int, float]:
    return {int(rows): seconds for rows, seconds in times.items()}  # keys of JSON are strings


def _environment(hardware: Hardware) -> dict[str, str]:
    """That of the engine's processes."""
    wanted = environment(hardware, {"enforce_eager": True}, os.environ)
    path = os.pathsep.join(filter(None, (str(_PACKAGE.parent), os.environ.get("PYTHONPATH"))))
    merged = {**os.environ, **wanted, "PYTHONPATH": path}
    return {name: value for name, value in merged.items() if value is not None}
