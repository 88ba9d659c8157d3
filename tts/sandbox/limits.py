"""What foreign code may use, and what came of running it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from tts.errors import ConfigError

Reason = Literal["time", "memory", "output", "disk"]

_LEAST_MEMORY = 64


@dataclass(frozen=True)
class Limits:
    """What a command may use, with all processes that it starts.

    Attributes:
        seconds: Wall-clock time, the start of the sandbox (some 0.03 s) included, above 0.
        memory_mib: MiB of address space for each process, and of memory in use for all of them
            together, at least 64. The first holds at every moment, the second is looked after some
            twenty times a second.
        processes: Processes and threads at a time, at least 1.
        output_kib: KiB of standard output, and as many of standard error, at least 1.
        disk_mib: MiB of files in the work folder, which are kept in memory, at least 1.
    """

    seconds: float = 10.0
    memory_mib: int = 1024
    processes: int = 16
    output_kib: int = 1024
    disk_mib: int = 64

    def __post_init__(self) -> None:
        if not 0 < self.seconds < 1e6:
            raise ConfigError(f"limits.seconds is {self.seconds}; it must be above 0.")
        for name in (f.name for f in fields(self) if f.name != "seconds"):
            value, least = getattr(self, name), _LEAST_MEMORY if name == "memory_mib" else 1
            if not least <= value < 1 << 30:
                raise ConfigError(f"limits.{name} is {value}; it must be at least {least}.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command.

    Attributes:
        code: Its exit code, 128 + n if signal n ended it; None if the sandbox did.
        stdout: What it wrote to standard output, up to the limit.
        stderr: What it wrote to standard error, up to the limit.
        reason: Which limit made the sandbox end it; None if it ended by itself.
    """

    code: int | None
    stdout: bytes
    stderr: bytes
    reason: Reason | None = None
