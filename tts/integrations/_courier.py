"""A thread in which slow and unreliable work is done, so that nobody waits for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Work = Callable[[], None]


class Courier:
    """Does work in the order in which it was given, beside the event loop.

    The first fault ends it: it is told once, and all further work is dropped.

    Args:
        name: What it is called when it tells.
        say: Tells the user; may be called from the thread.
    """

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self._name, self._say = name, say
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._gave_up = False
        # A daemon: work that hangs must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def send(self, work: Work) -> None:
        """Have something done; returns at once."""
        if not self._gave_up:
            self._queue.put(work)

    def close(self, seconds: float) -> None:
        """Wait until all is done, for so long at most; nothing is taken on afterwards."""
        self._queue.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive() and not self._gave_up:
            self._gave_up = True
            self._say(f"{self._name} did not answer within {seconds:g} s; its log is not whole.")

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            if self._gave_up:
                continue
            try:
                work()
            except Exception as error:  # whatever a foreign library raises
                self._gave_up = True
                reason = str(error).strip().splitlines()[:1] or [""]
                self._say(
                    f"{self._name} is left out from here on: {type(error).__name__}: {reason[0]}"
                )
