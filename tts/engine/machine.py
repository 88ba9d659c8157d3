"""How fast a machine computes and reads, and how long it therefore takes for an operator or a step.

Pure. Speeds come from data sheets or from a measurement; this module knows neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tts.engine.hardware import Hardware
from tts.engine.roofline import Bound, Operator
from tts.engine.shape import Shape

_SINGLE = 1.5  # fewer rows than this, on average, are one


@dataclass(frozen=True, slots=True)
class Feed:
    """How fast a machine's kernels for one arithmetic take in weights, in bytes a second.

    That is less than the memory's bandwidth where weights are widened or put into another order
    first, and more where they stay in the processor's cache.

    Attributes:
        single: For one row, for which libraries have a kernel of its own.
        several: For more.
    """

    single: float
    several: float


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, or several devices of it that share a model.

    Attributes:
        name: As a user writes it.
        hardware: What it is; `cuda_devices` are those that share the model.
        peaks: Operations a second, by type of arithmetic; a type that is missing is not there.
        bandwidth: Of the memory, in bytes a second.
        feeds: By type of arithmetic, where it was measured.
        draw: Seconds for each logit to draw a token from them: with a vocabulary of a hundred
            thousand that counts on a processor.
        source: Where the numbers come from.
    """

    name: str
    hardware: Hardware
    peaks: Mapping[str, float]
    bandwidth: float
    feeds: Mapping[str, Feed] = field(default_factory=lambda: MappingProxyType({}))
    draw: float = 0.0
    source: str = ""

    @property
    def overlaps(self) -> bool:
        """Whether it reads while it computes.

        GPUs do. The libraries of processors put weights in order and then multiply, so that both
        times add up: measured, see `tts.engine.kernels`.
        """
        return self.hardware.is_cuda

    @property
    def memory_gib(self) -> float:
        """For weights, cache and all else, in GiB."""
        own = self.hardware
        return own.cuda_devices * own.cuda_memory_gib if own.is_cuda else own.memory_gib

    def ridge(self, arithmetic: str) -> float:
        """Operations a byte from which on an operator waits for arithmetic and not for memory."""
        return self.peaks[arithmetic] / self.bandwidth


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What an engine makes of a machine, and what it takes besides.

    Attributes:
        compute: Part of the peak that operators reach, above 0.
        bandwidth: Part of bandwidth and feeds that operators reach, above 0.
        step: Seconds that a step takes besides its operators.
        layer: Seconds that each layer takes besides, in a step.
        sequence: Seconds that each sequence takes besides, in a step.
        request: Seconds that each request takes besides, once.
    """

    compute: float = 1.0
    bandwidth: float = 1.0
    step: float = 0.0
    layer: float = 0.0
    sequence: float = 0.0
    request: float = 0.0

    def overhead(self, shape: Shape, sequences: float) -> float:
        """Seconds that a step takes besides its operators."""
        return self.step + shape.layers * self.layer + sequences * self.sequence


@dataclass(frozen=True, slots=True)
class Seconds:
    """A time, and what it is made of.

    Attributes:
        compute: Seconds in which arithmetic is waited for.
        bandwidth: Seconds in which memory is waited for.
        overhead: All other seconds.
    """

    compute: float = 0.0
    bandwidth: float = 0.0
    overhead: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.compute + self.bandwidth + self.overhead

    @property
    def bound(self) -> Bound:
        """The largest part."""
        parts: dict[Bound, float] = {
            "compute": self.compute,
            "bandwidth": self.bandwidth,
            "overhead": self.overhead,
        }
        return max(parts, key=lambda name: parts[name])

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(
            self.compute + other.compute,
            self.bandwidth + other.bandwidth,
            self.overhead + other.overhead,
        )

    def __mul__(self, times: float) -> Seconds:
        return Seconds(self.compute * times, self.bandwidth * times, self.overhead * times)


IDEAL = Efficiency()
"""The roofline itself."""


def seconds(operator: Operator, machine: Machine, efficiency: Efficiency = IDEAL) -> Seconds:
    """How long all calls of an operator take in a step.

    On a machine that reads while it computes, the longer of the two times counts alone.
    """
    compute = operator.ops / (efficiency.compute * machine.peaks[operator.arithmetic])
    feed = machine.feeds.get(operator.arithmetic)
    speed = machine.bandwidth
    if feed is not None:
        speed = feed.single if operator.rows < _SINGLE else feed.several
    memory = (operator.bytes - operator.weights) / machine.bandwidth + operator.weights / speed
    memory /= efficiency.bandwidth
    if machine.overlaps:
        compute, memory = (compute, 0.0) if compute >= memory else (0.0, memory)
    return Seconds(compute, memory) * operator.calls


def total(found: Iterable[Operator], machine: Machine, efficiency: Efficiency = IDEAL) -> Seconds:
    """How long the operators of a step take, one after the other."""
    return sum((seconds(each, machine, efficiency) for each in found), Seconds())
