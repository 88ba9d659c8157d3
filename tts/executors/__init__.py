"""Where problems are solved other than in this process: one executor a file.

Knows setups and results; not where problems come from, how answers are graded, nor where records
go. Without an executor a run solves everything in its own process, with `tts.solve_all`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Protocol

from tts.budget import Budget
from tts.types import Event, Problem, Result, Usage


class Executor(Protocol):
    """Solves problems by one setup, somewhere."""

    def check(self, total_budget: Budget | None) -> None:
        """Refuse what cannot be solved there; nothing is started.

        Args:
            total_budget: Limits for all problems together, as of `solve`.

        Raises:
            ConfigError: The setup, or the total, does not go with it.
        """
        ...

    async def start(self) -> None:
        """Make ready whatever solves; safe to call again.

        Raises:
            ConfigError: It cannot be had as it is configured.
            BackendError: It did not come up.
        """
        ...

    def solve(
        self,
        problems: Iterable[Problem],
        *,
        concurrency: int,
        total_budget: Budget | None,
        spent: Usage,
        on_event: Callable[[Event], None] | None,
    ) -> AsyncGenerator[Result]:
        """Solve problems side by side, as `tts.solve_all` does.

        Args:
            problems: Read as needed, never all at once.
            concurrency: Most problems in flight, at least 1.
            total_budget: Limits for all of them together.
            spent: What of the total was spent before, its seconds included.
            on_event: Told of each problem what it cost, what was decided, and its end.

        Yields:
            One result a problem, in the order in which they end.

        Raises:
            BackendError: Nobody is left who could solve; what was yielded before stays valid.
        """
        ...

    async def aclose(self) -> None:
        """Release everything; safe to call again."""
        ...
