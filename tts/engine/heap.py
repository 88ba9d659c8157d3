"""Keep the garbage collector away from what lives as long as an engine.

vLLM and what it imports are half a million objects, and going through all of them takes Python a
sixth of a second. A sitting that makes many small objects has that done every few hundred requests,
and meanwhile nothing is sent to the engine. So what is there once an engine is up is set aside, as
vLLM's own servers do, until the last engine has ended. What a large batch knows of its requests is
set aside likewise.
"""

from __future__ import annotations

import gc
import threading


class Heap:
    """The objects of this process, set aside while anyone holds them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0

    def hold(self) -> None:
        """Set aside what is there now, but for what is garbage already."""
        with self._lock:
            self._holders += 1
            gc.collect()
            gc.freeze()

    def release(self) -> None:
        """Give everything back to the collector, if nobody else holds it."""
        with self._lock:
            self._holders -= 1
            if not self._holders:
                gc.unfreeze()


HEAP = Heap()
"""That of this process."""
