"""Programs run in cells: processes of their own, with limits, that end with their group.

Knows nothing of tasks. What a cell gives up is said in `tts.tasks._cell`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tts.errors import ConfigError, GradingError
from tts.tasks._pool import Gates

_CELL = Path(__file__).with_name("_cell.py")
_GRACE = 30.0
"""Seconds beyond a program's own that a cell may take to start and to answer on a busy machine."""
_LONGEST = 1 << 20  # characters of program and tests
_gates = Gates(max(1, min(8, (os.cpu_count() or 1) - 1)))


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Attributes:
        seconds: Time for the program and its tests together, above 0.
        memory_mib: Address space in MiB, at least 64.
    """

    seconds: float = 10.0
    memory_mib: int = 1024

    def __post_init__(self) -> None:
        if not 0 < self.seconds < 1e6:
            raise ConfigError(f"limits.seconds is {self.seconds}; it must be above 0.")
        if self.memory_mib < 64:
            raise ConfigError(f"limits.memory_mib is {self.memory_mib}; it must be at least 64.")


async def run(pieces: Sequence[str], limits: Limits) -> bool:
    """Whether a program ends without an error, in time.

    Args:
        pieces: Its parts, run one after the other in one namespace.
        limits: What it may use.

    Raises:
        GradingError: The cell itself does not work.
    """
    if sum(map(len, pieces)) > _LONGEST:
        return False
    word = secrets.token_hex()
    job = {
        "pieces": list(pieces),
        "seconds": limits.seconds,
        "memory": limits.memory_mib << 20,
        "word": word,
    }
    async with _gates.here():
        with tempfile.TemporaryDirectory(prefix="tts-cell-", ignore_cleanup_errors=True) as folder:
            said = await _cell(json.dumps(job).encode(), folder, limits.seconds + _GRACE)
    try:
        return json.loads(said)["passed"] is True
    except (ValueError, KeyError, TypeError) as error:
        raise GradingError(
            "The process that runs programs does not work.",
            hint=f"Does `{sys.executable} -I {_CELL} </dev/null` start?",
        ) from error


async def _cell(job: bytes, folder: str, seconds: float) -> bytes:
    """What a cell answers; empty if it does not."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-W", "ignore", "-X", "utf8", str(_CELL),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=folder,
        env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"},
        start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds):
            return (await process.communicate(job))[0]
    except TimeoutError:
        return b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
