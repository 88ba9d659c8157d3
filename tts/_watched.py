"""The watched backend: carries out what watchers decide about a chain while it is written.

A watched stream looks like any other to the strategy that opens it. Inside, it is one decode after
the other: where a watcher inserts text, closes the thinking part or wants to wait, the decode is
left and a new one continues the chain on the cached prefix. Questions are asked beside it.

* Decisions hold for a position. What was generated beyond it is charged and cut off, so the text
  of a chain does not depend on how fast replies come; its cost does, unless its watchers wait.
* Of several decisions at once the gravest counts: abort, close, insert. Equal ones: the earliest
  position, then the watcher that comes first. Questions are asked in any case.
* Where watchers stand is kept on the nodes, so a chain may be forked and resumed anywhere.
* A watcher that fails is left out for the rest of the chain, which goes on; the log says so.
* The stream holds one lease from its first to its last token. Inserted text counts against
  `max_tokens`, so a watched answer is no longer than an unwatched one may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tts._chain import Chain, Watch
from tts.types import Capability, ModelInfo, Problem, Request, Trajectory


@dataclass(frozen=True, slots=True)
class WatchedBackend:
    """A metered backend whose chains are watched.

    Args:
        watch: Who watches it.
    """

    watch: Watch

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Those of the metered backend."""
        return self.watch.meter.capabilities

    @property
    def model(self) -> ModelInfo:
        """That of the metered backend."""
        return self.watch.meter.model

    def identity(self) -> Mapping[str, Any]:
        """That of the metered backend."""
        return self.watch.meter.identity()

    def prompt_tokens(self, problem: Problem, trajectory: Trajectory) -> int:
        """As the metered backend counts them."""
        return self.watch.meter.prompt_tokens(problem, trajectory)

    def open(self, request: Request) -> Chain:
        """Wait for a lease, then decode under the eyes of the watchers."""
        return Chain(self.watch, request)

    async def start(self) -> None:
        """Start the metered backend."""
        await self.watch.meter.start()

    async def aclose(self) -> None:
        """Do nothing: the inner backend belongs to whoever made it."""
