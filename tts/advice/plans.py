"""Plans: a scheme of weights and a format of the cache, as numbers and as engine settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tts.engine.hardware import Hardware
from tts.engine.machine import Machine
from tts.engine.roofline import Numerics
from tts.engine.schemes import (
    CACHE_FORMATS,
    SCHEMES,
    CacheFormat,
    Operator,
    Scheme,
    arithmetic_on,
    cache_lack,
    emulated,
    lack,
    token_bytes,
    weight_bytes,
)
from tts.engine.shape import Shape

_PLAIN: Mapping[str, tuple[str, int]] = {
    "float32": ("fp32", 32),
    "bfloat16": ("bf16", 16),
    "float16": ("fp16", 16),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model is run.

    Attributes:
        scheme: Of the weights.
        cache: Of keys and values.
    """

    scheme: Scheme
    cache: CacheFormat

    @property
    def name(self) -> str:
        """The scheme, and the cache where it is another than the activations' own."""
        plain = self.cache.name == "auto"
        return self.scheme.name if plain else f"{self.scheme.name}, cache {self.cache.name}"

    @property
    def whole(self) -> bool:
        """Whether nothing is quantised."""
        return self.scheme.plain and self.cache.name == "auto"

    @property
    def settings(self) -> dict[str, str]:
        """What it becomes on the command line of `tts run`."""
        return {
            "model.engine.scheme": self.scheme.name,
            "model.engine.kv_cache_dtype": self.cache.name,
        }

    def loaded(self, shape: Shape, hardware: Hardware) -> Loaded:
        """The model as it is then in memory.

        Args:
            shape: Of the model.
            hardware: The machine.
        """
        dtype = _dtype(self.scheme, hardware)
        plain, bits = _PLAIN[dtype]
        arithmetic: str = arithmetic_on(self.scheme, hardware)
        if arithmetic in ("fp32", "bf16", "fp16"):  # weights are widened to what activations are
            arithmetic = plain
        token = token_bytes(self.cache, shape, dtype)
        numerics = Numerics(
            weight_bits=self.scheme.weight_bits,
            input_bits=bits if arithmetic == plain else self.scheme.activation_bits,
            arithmetic=arithmetic,
            plain=plain,
            plain_bits=bits,
            cache_bits=8 * token / shape.cache_bytes(1),
            experts_only=self.scheme.experts_only,
        )
        return Loaded(shape, numerics, weight_bytes(self.scheme, shape, dtype), token)

    def speed_known(self, shape: Shape, machine: Machine) -> bool:
        """Whether the machine's speed is known for all that it computes."""
        found = self.loaded(shape, machine.hardware).numerics
        return {found.arithmetic, found.plain} <= set(machine.peaks)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model under a plan.

    Attributes:
        shape: Of the model.
        numerics: Of the plan.
        weights: Bytes of all weights.
        token: Bytes of the keys and values of one token.
    """

    shape: Shape
    numerics: Numerics
    weights: float
    token: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What there is to choose from.

    Attributes:
        plans: Those that the machine can run, in the order of the tables.
        refused: The other schemes and formats, and what they need.
    """

    plans: tuple[Plan, ...]
    refused: Mapping[str, str]


def choice(
    shape: Shape,
    hardware: Hardware,
    operator: Operator,
    caches: Sequence[CacheFormat],
    own: Scheme | None = None,
) -> Choice:
    """All plans for a model on a machine.

    Schemes for which there is but a reference kernel are refused: how slow it is, nobody knows.

    Args:
        shape: Of the model.
        hardware: The machine.
        operator: Whether the engine's compiled operators include a name.
        caches: Formats of the cache that are to be considered.
        own: The scheme of the checkpoint, if it is quantised: then there is no other.
    """
    experts = bool(shape.feed_forward.experts)
    schemes = [own] if own is not None else list(SCHEMES.values())
    needs = {
        each: lack(each, hardware, operator, experts=experts) or _slow(each, hardware)
        for each in schemes
        if experts or not each.experts_only
    }
    wants = {each: cache_lack(each, hardware) for each in caches}
    plans = tuple(
        Plan(scheme, cache)
        for scheme, why in needs.items()
        for cache, reason in wants.items()
        if not why and not reason
    )
    refused = {each.name: why for each, why in needs.items() if why}
    refused |= {f"cache {each.name}": why for each, why in wants.items() if why}
    return Choice(plans, refused)


def _slow(scheme: Scheme, hardware: Hardware) -> str:
    slow = scheme.reference and emulated(scheme, hardware)
    return "a GPU to be of use: here its kernel is made to be right, not fast" if slow else ""


def plain_plan(hardware: Hardware) -> Plan:
    """The model as it is, in the type that a machine is best at."""
    best = _best(hardware)
    scheme = next(each for each in SCHEMES.values() if each.dtype == best)
    return Plan(scheme, CACHE_FORMATS["auto"])


def _best(hardware: Hardware) -> str:
    """The type of activations that a machine is best at; the engine's settings choose it too."""
    return "bfloat16" if hardware.has_bf16 else "float16" if hardware.is_cuda else "float32"


def _dtype(scheme: Scheme, hardware: Hardware) -> str:
    """The type of the activations: the scheme's own, or what the machine is best at."""
    if scheme.dtype:
        return scheme.dtype
    best = _best(hardware)
    return (
        best if not scheme.needs.dtypes or best in scheme.needs.dtypes else scheme.needs.dtypes[0]
    )
