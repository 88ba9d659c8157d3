"""Inside a worker's process: makes setups of recipes, and solves one problem after the other.

Knows nothing of how it is reached. Everything comes and goes as bytes of `_flat`, faults too, so
that they arrive as what they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import fields, replace
from typing import Any

from tts.budget import Budget
from tts.executors._flat import pack, portable, unpack
from tts.protocols import Backend, Startable, Verifier
from tts.solve import Setup, solve_all
from tts.types import Problem, Result

Shelf = dict[str, Any]
"""What the setups of one worker share; each recipe finds what those before it have put there."""

Recipe = Callable[[Shelf], Setup]
"""Makes a setup, in the process that is to use it. Picklable."""


def identities(setup: Setup) -> dict[str, Mapping[str, Any]]:
    """What decides a setup's results, by part: models, numerics, verifiers."""
    parts: dict[str, Backend | Verifier | None] = {
        "backend": setup.backend,
        "draft": setup.draft,
        "verifier": setup.verifier,
        "verifier_backend": setup.verifier_backend,
    }
    return {name: part.identity() for name, part in parts.items() if part is not None}


class Worker:
    """Solves problems by setups of its own."""

    def __init__(self) -> None:
        self._shelf: Shelf = {}
        self._setups: dict[str, Setup] = {}

    async def prepare(self, name: str, recipe: Recipe) -> bytes:
        """Make and start the setup of a recipe, and keep it under a name.

        Returns:
            Its `identities`, or the error.
        """

        async def prepared() -> dict[str, Mapping[str, Any]]:
            if name not in self._setups:
                setup = recipe(self._shelf)
                await setup.start()
                self._setups[name] = setup
            return identities(self._setups[name])

        return await _reply(prepared())

    async def solve(self, name: str, work: bytes) -> bytes:
        """Solve a problem.

        Args:
            name: Of the setup.
            work: The problem, and its budget; None for that of the setup.

        Returns:
            The result, or the error if none can be had.
        """
        problem, budget = unpack(work)
        return await _reply(self._solved(self._setups[name], problem, budget))

    async def _solved(self, setup: Setup, problem: Problem, budget: Budget | None) -> Result:
        if budget is not None:
            setup = replace(setup, budget=budget)
        options: dict[str, Any] = {f.name: getattr(setup, f.name) for f in fields(setup)}
        async with aclosing(solve_all([problem], concurrency=1, **options)) as results:
            result = await _only(results)
        return result if result.error is None else replace(result, error=portable(result.error))

    async def aclose(self) -> None:
        """Close all backends and verifiers."""
        parts: dict[int, Startable] = {}
        for setup in self._setups.values():
            for part in (setup.backend, setup.draft, setup.verifier_backend, setup.verifier):
                if isinstance(part, Startable):
                    parts[id(part)] = part
        self._setups.clear()
        await asyncio.gather(*(part.aclose() for part in parts.values()))


async def _only(results: AsyncIterator[Result]) -> Result:
    async for result in results:
        return result
    raise AssertionError("solve_all yields one result a problem")


async def _reply(work: Awaitable[object]) -> bytes:
    """What came of some work, or the error."""
    try:
        return pack(await work)
    except Exception as error:  # the other side raises it
        return pack(portable(error))
