"""What bounds the number of processes that work at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass
class Gates:
    """For each event loop a semaphore of its own.

    Attributes:
        size: How many may pass at a time.
    """

    size: int
    _of: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = field(default_factory=dict)

    def here(self) -> asyncio.Semaphore:
        """The semaphore of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._of:
            self._of = {old: gate for old, gate in self._of.items() if not old.is_closed()}
            self._of[loop] = asyncio.Semaphore(self.size)
        return self._of[loop]
