"""What engines take of one machine's memory, and how several share it.

Engines that were made and not yet closed are known here, since memory belongs to the whole machine:
the check of a second one counts what the first will take, and on a GPU each is given a share of its
own. vLLM by itself would let the first take the whole device, and refuse to start the second.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

from tts.errors import ConfigError

_ROOM = 0.9  # of a GPU's memory, for all engines that are not given a share


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one engine takes, in GiB; on GPUs, of each device that it uses.

    Attributes:
        name: Of the model.
        weights: Of the model.
        beside: Code, libraries, buffers and activations.
        cache: Of keys and values; None: as much as is left.
        least: The cache that one text of the engine's full length needs.
        device: Memory of a GPU; 0 for an engine that lives in main memory.
        part: Part of the GPU, 0 to 1, that the user gives it; None if he has not said.
    """

    name: str
    weights: float
    beside: float
    cache: float | None
    least: float
    device: float = 0.0
    part: float | None = None

    @property
    def need(self) -> float:
        """All that it takes at least."""
        return self.weights + self.beside + (self.least if self.cache is None else self.cache)

    @property
    def fixed(self) -> float | None:
        """All that it takes, where that does not depend on others."""
        if self.cache is not None:
            return self.need
        return None if self.part is None else self.part * self.device


class Tenant:
    """An engine, as far as its memory goes.

    Args:
        footprint: What it takes.

    Attributes:
        footprint: What it takes.
        taken: GiB that it has been given since it was last started; None while it is not running.
    """

    def __init__(self, footprint: Footprint) -> None:
        self.footprint = footprint
        self.taken: float | None = None
        self._awake: float | None = None  # what it takes when it does not sleep

    def move_in(self) -> None:
        """Be known to the engines that are made from now on."""
        _TENANTS.add(self)

    def move_out(self) -> None:
        """Take nothing any more, and never again."""
        self.taken = None
        _TENANTS.discard(self)

    def lie_down(self) -> None:
        """Give back weights and cache, and keep what the engine's processes take besides."""
        if self.taken is not None:
            self._awake, self.taken = self.taken, self.footprint.beside

    def get_up(self, others: Sequence[Tenant]) -> None:
        """Take again what was given back.

        Args:
            others: Engines on the same device.

        Raises:
            ConfigError: They have taken it meanwhile.
        """
        if self.taken is None or self._awake is None:
            return
        name, device = self.footprint.name, self.footprint.device
        there = {t.footprint.name: t.taken for t in others if t.taken is not None}
        taken = sum(t.taken for t in others if t.taken is not None)
        if self._awake + taken > device:
            words = ", ".join(f"{each} has {gib:.1f} GiB" for each, gib in there.items())
            raise ConfigError(
                f"{name} cannot wake: it needs {self._awake:.1f} GiB of a GPU of {device:.0f} GiB,"
                f" and {words}.",
                hint="Put one of them to sleep, or close it, first.",
            )
        self.taken, self._awake = self._awake, None

    def settle(self, others: Sequence[Tenant]) -> dict[str, float]:
        """Take memory, now that the engine starts.

        Args:
            others: Engines on the same memory.

        Returns:
            Arguments of vLLM's that hold the engine to its share; none where it may have all.

        Raises:
            ConfigError: They do not fit on the device together.
        """
        mine = self.footprint
        if not mine.device or (not others and mine.cache is None):
            self.taken = mine.need if not mine.device else mine.device * (mine.part or _ROOM)
            return {}
        self.taken = shares([self, *others])[0]
        return {
            "kv_cache_memory_bytes": int((self.taken - mine.weights - mine.beside) * (1 << 30)),
            "gpu_memory_utilization": min(1.0, self.taken / mine.device),
        }


# The one thing of the engine's that belongs to the whole process, as memory does.
_TENANTS: weakref.WeakSet[Tenant] = weakref.WeakSet()


def tenants(*, on_gpu: bool) -> list[Tenant]:
    """The engines that were made and not closed, on the GPU or in main memory."""
    return [tenant for tenant in _TENANTS if bool(tenant.footprint.device) is on_gpu]


def shares(tenants: Sequence[Tenant]) -> list[float]:
    """How engines share one GPU: GiB for each, in the same order.

    Those that run keep what they have. Those that have been given a part of the device get that,
    those of a known size get it, and what is left of nine tenths of the device goes to the others,
    in equal caches.

    Raises:
        ConfigError: They do not fit together; the sentence names them all.
    """
    device = min(tenant.footprint.device for tenant in tenants)
    given = [t.footprint.fixed if t.taken is None else t.taken for t in tenants]
    hungry = [t.footprint for t, gib in zip(tenants, given, strict=True) if gib is None]
    known = sum(gib for gib in given if gib is not None)
    rest = _ROOM * device - known - sum(f.weights + f.beside for f in hungry)
    cache = rest / len(hungry) if hungry else 0.0
    found = [
        t.footprint.weights + t.footprint.beside + cache if gib is None else gib
        for t, gib in zip(tenants, given, strict=True)
    ]
    newcomers = [(t, gib) for t, gib in zip(tenants, found, strict=True) if t.taken is None]
    # Nine tenths are a rule of thumb; who says himself what his engines take may go beyond.
    if known > device or any(gib < t.footprint.need for t, gib in newcomers):
        raise _crowded(tenants, given, device)
    return found


def beside(others: Sequence[Tenant]) -> tuple[float, str]:
    """What engines that have not been started yet will take of main memory.

    Returns:
        GiB, and the words for it; 0 and nothing if there are none.
    """
    waiting = [tenant.footprint for tenant in others if tenant.taken is None]
    words = " and ".join(f"{each.name}, which will take {each.need:.1f} GiB" for each in waiting)
    return sum(each.need for each in waiting), f" beside {words}" if words else ""


def _crowded(
    tenants: Sequence[Tenant], given: Sequence[float | None], device: float
) -> ConfigError:
    words = [
        f"{t.footprint.name} {'has' if t.taken is not None else 'needs'}"
        f" {t.footprint.need if gib is None else gib:.1f} GiB"
        for t, gib in zip(tenants, given, strict=True)
    ]
    return ConfigError(
        f"The engines do not fit on one GPU of {device:.0f} GiB together: {', '.join(words)}.",
        hint="Make all of them before the first one starts, lower kv_cache_gib or"
        " gpu_memory_utilization of one, or take a smaller model.",
    )
