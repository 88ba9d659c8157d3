"""Memory that engines of other processes have claimed, on this machine.

An engine takes half a minute to load, and its cache fills later still: until then memory looks free
that is not. So each engine leaves a note of what it will take before it is started. On a GPU vLLM
takes its share at once and refuses what does not fit, after loading: that is refused here, before.
In main memory claims are estimates, and what another process has not taken yet it may never take:
that is said, and not refused.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tts.engine.hardware import detect
from tts.engine.layout import layout_of
from tts.engine.notices import Note, folder, leave, notes, take_back
from tts.engine.resolved import ResolvedConfig
from tts.errors import ConfigError

_LOG = logging.getLogger("tts.engine")
_KIND = "engine"
_PATIENCE = 5.0  # seconds to wait for another process that is about to claim its memory


@dataclass(frozen=True, slots=True)
class Claim:
    """Memory that an engine takes, or will.

    Attributes:
        model: Name of its model.
        process: Whose it is.
        gib: All of it; on GPUs, of each device.
        devices: The GPUs that it uses, by number; empty for main memory.
    """

    model: str
    process: int
    gib: float
    devices: frozenset[str] = frozenset()


def claim(number: int, config: ResolvedConfig, gib: float) -> None:
    """Claim memory for an engine that is about to start.

    Args:
        number: Of the engine in this process.
        config: Its settings.
        gib: What it will take.

    Raises:
        ConfigError: Engines of other processes have taken the GPU's memory.
    """
    devices = visible(layout_of(config.arguments).workers) if config.on_cuda else ()
    mine = Claim(config.model, os.getpid(), gib, frozenset(devices))
    with _alone():
        others = claims()
        if config.on_cuda:
            check_devices(mine, config.footprint.device, others)
        elif others and (said := crowded(mine, detect().memory_gib, others, resident)):
            _LOG.warning(said)
        leave(_KIND, number, {"model": mine.model, "gib": gib, "devices": sorted(devices)})


def release(number: int) -> None:
    """Give up what an engine of this process has claimed; safe to call again."""
    take_back(_KIND, number)


def claims() -> list[Claim]:
    """The claims of other processes."""
    return [_claim(note) for note in notes(_KIND) if note.process != os.getpid()]


def check_devices(mine: Claim, device: float, others: Sequence[Claim]) -> None:
    """Refuse a claim on GPUs that are taken.

    Args:
        mine: What an engine wants.
        device: Memory of a GPU, in GiB.
        others: Of other processes.

    Raises:
        ConfigError: It does not fit beside those on the same GPUs.
    """
    beside = [each for each in others if each.devices & mine.devices]
    taken = sum(each.gib for each in beside)
    if beside and taken + mine.gib > device:
        raise ConfigError(
            f"{mine.model} wants {mine.gib:.1f} GiB of a GPU of {device:.0f} GiB, and engines of"
            f" other processes have {taken:.1f} GiB of it: {_listed(beside)}.",
            hint="Set gpu_memory_utilization of each, choose another GPU with CUDA_VISIBLE_DEVICES,"
            " or wait.",
        )


def crowded(
    mine: Claim, free: float, others: Sequence[Claim], taken: Callable[[int], float]
) -> str | None:
    """What there is to say where main memory is free now, and will not be for long.

    Args:
        mine: What an engine wants.
        free: Main memory that is free, in GiB.
        others: Of other processes.
        taken: Of a process, the GiB that it holds by now.

    Returns:
        A sentence; None if all will fit.
    """
    waiting = []
    for process in dict.fromkeys(each.process for each in others):
        theirs = [each for each in others if each.process == process and not each.devices]
        left = sum(each.gib for each in theirs) - taken(process) if theirs else 0.0
        if left > 0:
            names = " and ".join(dict.fromkeys(each.model for each in theirs))
            waiting.append(Claim(names, process, left))
    if mine.gib + sum(each.gib for each in waiting) <= free:
        return None
    return (
        f"{mine.model} needs about {mine.gib:.1f} GiB and {free:.1f} GiB are free, but engines of"
        f" other processes may still take {sum(each.gib for each in waiting):.1f} GiB of it:"
        f" {_listed(waiting)}. If it ends for lack of memory, lower kv_cache_gib, or wait."
    )


def visible(count: int) -> list[str]:
    """The first GPUs that this process may use, by number or name."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    listed = [each.strip() for each in said.split(",") if each.strip()]
    return (listed or [str(n) for n in range(count)])[:count]


def resident(process: int) -> float:
    """GiB of main memory that a process and its children hold for themselves."""
    return sum(_own(each) for each in _family(process))


def _own(process: int) -> float:
    total = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1])
    return total / (1 << 20)


def _family(process: int) -> Iterator[int]:
    yield process
    for listing in Path(f"/proc/{process}/task").glob("*/children"):
        children: list[str] = []
        with contextlib.suppress(OSError):
            children = listing.read_text().split()
        for child in children:
            yield from _family(int(child))


def _claim(note: Note) -> Claim:
    body = note.body
    devices = frozenset(str(each) for each in body.get("devices", ()))
    return Claim(str(body.get("model")), note.process, float(body.get("gib", 0.0)), devices)


def _listed(them: Sequence[Claim]) -> str:
    return ", ".join(f"{each.model} {each.gib:.1f} (process {each.process})" for each in them)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """A block in which no other process claims memory, unless a lock cannot be had in time."""
    from filelock import FileLock, Timeout

    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, Timeout):
            folder().mkdir(parents=True, exist_ok=True, mode=0o700)
            stack.enter_context(FileLock(folder() / "lock", timeout=_PATIENCE))
        yield
