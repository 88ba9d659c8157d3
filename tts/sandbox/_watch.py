"""A look at what all processes of a sandbox use together, which no limit of a process bounds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from tts.sandbox.limits import Limits, Reason

WORK = "/tmp"
"""The one folder in a sandbox that can be written to."""

_INTERVAL = 0.05  # seconds
_FILE = 1 << 10  # bytes of memory that an empty file takes
_IN_USE = re.compile(rb"^Rss(?:Anon|Shmem):\s+(\d+) kB", re.MULTILINE)


async def watch(pid: int, limits: Limits) -> Reason:
    """Wait until the processes below one of ours use too much, and say of what."""
    while True:
        processes = list(_tree(pid))
        if sum(map(_memory, processes)) > limits.memory_mib << 20:
            return "memory"
        if any(_files(process, limits.disk_mib << 20) for process in processes[-1:]):
            return "disk"
        await asyncio.sleep(_INTERVAL)


def _tree(pid: int) -> Iterator[int]:
    """A process and all below it; those that end meanwhile may be missing."""
    yield pid
    children: list[bytes] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += (task / "children").read_bytes().split()
    for child in children:
        yield from _tree(int(child))


def _memory(pid: int) -> int:
    """Bytes in use that belong to no file; what forks share is counted for each of them."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return 0
    return sum(int(kib) << 10 for kib in _IN_USE.findall(status))


def _files(pid: int, size: int) -> bool:
    """Whether there are so many files in a work folder of a given size that they alone fill it."""
    try:
        found = os.statvfs(f"/proc/{pid}/root{WORK}")
    except OSError:
        return False
    ours = found.f_blocks * found.f_frsize == size  # and not yet the folder outside
    return ours and (found.f_files - found.f_ffree) * _FILE > size
