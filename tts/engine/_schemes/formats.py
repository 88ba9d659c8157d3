"""What a scheme of weights and activations is, and a format of the KV cache: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Arithmetic = Literal["fp32", "bf16", "fp16", "fp8", "int8", "fp4"]
"""Type in which matrix products are taken: says which peak of a machine holds."""

Capability = tuple[int, int]
"""Compute capability of a GPU, such as (9, 0)."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the engine's kernels for a scheme ask of a machine.

    Attributes:
        gpu: Least compute capability; None if no GPU has a kernel.
        native: Least compute capability at which products are taken in the scheme's own
            arithmetic. On lesser GPUs weights are widened to 16 bits first.
        before: Compute capability from which on the kernel is missing; None if nowhere.
        isa: Instruction sets of which a processor must have one; empty if any processor will do,
            None if none has a kernel.
        operators: Compiled operators that a processor's build of the engine must hold.
        dtypes: Data types that activations may have while loading; empty for all.
    """

    gpu: Capability | None = (7, 5)
    native: Capability = (0, 0)
    before: Capability | None = None
    isa: frozenset[str] | None = None
    operators: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scheme:
    """How weights are kept, and what they are multiplied with.

    Attributes:
        name: As a user writes it.
        title: In words.
        weight_bits: Bits that a weight takes in memory, scales and zeros included. It holds for
            the matrices of the layers: embeddings, norms and the head stay as they are.
        activation_bits: Bits of what is multiplied with the weights.
        arithmetic: Of the matrix products, on hardware that has it.
        needs: What the machine must have.
        dtype: Data type that the scheme is, if it is no more than that; else empty.
        online: Values of the engine's argument `quantization` that apply the scheme while loading,
            the best first; empty if a checkpoint must have been written in it.
        written: Whether checkpoints come in it.
        calibration: Whether making a good one asks for data.
        experts_only: Whether it touches nothing but the experts of a mixture.
        reference: Whether a processor's only kernel is one that is there to be right, not fast.
        plugin: Package that must be installed beside a vLLM that does not register `method`.
        method: The engine's name for a scheme that may come as a plugin.
        absent: What is missing on every machine; empty if nothing is.
        source: Where the scheme is from.
    """

    name: str
    title: str
    weight_bits: float
    activation_bits: int
    arithmetic: Arithmetic
    needs: Needs = field(default_factory=Needs)
    dtype: str = ""
    online: tuple[str, ...] = ()
    written: bool = False
    calibration: bool = False
    experts_only: bool = False
    reference: bool = False
    plugin: str = ""
    method: str = ""
    absent: str = ""
    source: str = ""

    @property
    def plain(self) -> bool:
        """Whether weights are numbers of one type, and nothing is quantised."""
        return bool(self.dtype)

    @property
    def weight_only(self) -> bool:
        """Whether weights are narrower than what they are multiplied with."""
        return not self.plain and self.activation_bits >= 16

    def __str__(self) -> str:
        return f"{self.name} ({self.title})"


@dataclass(frozen=True, slots=True)
class CacheFormat:
    """How keys and values are kept.

    Attributes:
        name: The engine's argument `kv_cache_dtype`.
        title: In words.
        bits: That a number takes, keys and values on average; 0 for `auto`: as wide as `dtype`.
        head_bits: Bits that one head's keys or values of one token take beside their numbers, for
            scales and zeros.
        gpu: Least compute capability.
        isa: Instruction sets of which a processor must have one; empty if any processor will do,
            None if none has a kernel.
    """

    name: str
    title: str
    bits: float
    head_bits: int = 0
    gpu: Capability = (7, 5)
    isa: frozenset[str] | None = None
