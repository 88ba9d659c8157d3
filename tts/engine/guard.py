"""Inside the engine's processes: end them when the process that started them is gone.

vLLM's engine outlives a parent that was killed outright (out of memory, a scheduler's SIGKILL) and
keeps its gigabytes. It can be told to mix a class into its worker, so ours watches the owner from
there. A pipe or a death signal would not do: the former is not inherited by spawned processes, the
latter follows the thread that started them, which ends as soon as the engine is up.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from typing import Any, Self

OWNER = "TTS_ENGINE_OWNER"
QUALIFIED_NAME = f"{__name__}.Guard"
_LOOK_EVERY_SECONDS = 1.0
_GRACE_SECONDS = 5.0


class Guard:
    """Mixed into vLLM's worker class; making a worker starts the watch."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Start watching, then make the worker as if nothing had happened."""
        owner = os.environ.get(OWNER, "")
        if owner.isdigit():
            threading.Thread(target=watch, args=(int(owner),), daemon=True).start()
        return super().__new__(cls)


def watch(owner: int) -> None:
    """Wait until a process is gone, then end the engine that this process belongs to.

    Args:
        owner: Process id of whoever started the engine.
    """
    import psutil

    # The worker runs in the engine's process, or with several devices in a child of it. Who made
    # this process is not always its parent in the system's sense, which may be a fork server.
    maker = multiprocessing.parent_process()
    core = maker.pid if maker is not None and maker.pid not in (None, owner) else os.getpid()
    try:
        process = psutil.Process(owner)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_LOOK_EVERY_SECONDS)
    except psutil.NoSuchProcess:
        pass
    _signal(core, signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    _signal(core, signal.SIGKILL)
    os._exit(1)


def _signal(process: int, number: signal.Signals) -> None:
    if process > 1:
        try:
            os.kill(process, number)
        except ProcessLookupError:
            return
