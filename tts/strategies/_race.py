"""Whole answers drawn side by side, any of which can be left on its way.

What searches by length share. It knows how long each answer is; which of them are left, and which
are kept, is for the search to say.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

from tts.errors import BudgetExhausted, ConfigError
from tts.protocols import Env, Selector
from tts.strategies._steps import check_width
from tts.types import Candidate, Capability, Chunk, Trajectory

Rank = tuple[float, int]
"""Length of an answer and its number, which breaks ties: the smaller comes first."""

NOBODY: Rank = (-math.inf, 0)
"""A rank after which all come."""


def check_race(n: int, k: int, selector: Selector) -> None:
    """Refuse what makes no race.

    Raises:
        ConfigError: `n` is below 1, `k` is not from 1 to `n`, or the selector wants scores.
    """
    if Capability.VERIFIER in selector.requires:
        raise ConfigError(
            f"strategy.selector is {type(selector).__name__}, which compares scores; in a race"
            " nothing is judged.",
            hint="Take selector=majority.",
        )
    check_width("n", n)
    check_width("k", k)
    if k > n:
        raise ConfigError(
            f"strategy.k is {k}, and strategy.n is {n}; k lies from 1 to n.",
            hint=f"Set strategy.k={n}, or raise strategy.n.",
        )


@dataclass(eq=False)
class Runner:
    """One answer in a race.

    Attributes:
        number: Of the draw, from 0.
        rank: Its length in tokens, and its number. While the part that is measured goes on, the
            least rank that it can still get: one token more, and any tie won.
        under_way: Whether it can still be left.
        candidate: The answer, once it came to an end that was not ours.
    """

    number: int
    rank: Rank = (1, 0)
    under_way: bool = True
    candidate: Candidate | None = None
    _measured: bool = False
    _tail: str = ""

    @property
    def finished(self) -> bool:
        """Whether the model has ended it, with an answer that can be read."""
        candidate = self.candidate
        return (
            candidate is not None
            and candidate.answer is not None
            and candidate.trajectory.finish == "stop"
        )

    def see(self, chunk: Chunk, tokens: int, marker: str) -> None:
        """Note what has arrived, `tokens` of them in all; the measure ends with the `marker`."""
        if self._measured:
            return
        self._tail = (self._tail + chunk.text)[-len(marker) - len(chunk.text) :]
        self._measured = chunk.finish is not None or (bool(marker) and marker in self._tail)
        self.rank = (tokens, self.number) if self._measured else (tokens + 1, 0)


@dataclass(eq=False)
class Race:
    """Answers under way.

    Args:
        env: Where to draw.
        n: How many, at least 1.
        marker: Text at whose first appearance the length is taken, to the end of the chunk that
            brings it; where it is empty or does not appear, the length is that of the whole answer.
        watch: Whether answers are to be left on their way, or measured by a marker.
    """

    env: Env
    n: int
    marker: str = ""
    watch: bool = True
    _bar: Rank = (math.inf, 0)
    _lanes: dict[asyncio.Task[None], Runner] = field(default_factory=dict)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All that came to an end that was not ours, truncated ones included, by number."""
        return candidates_of(list(self._lanes.values()))

    async def finishers(self) -> AsyncGenerator[Runner]:
        """Run. What the budget cannot pay is left out.

        Yields:
            Those that have finished, as they arrive.
        """
        runners = [Runner(number) for number in range(self.n)]
        self._lanes = {asyncio.create_task(self._run(runner)): runner for runner in runners}
        waiting = set(self._lanes)
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda task: self._lanes[task].number):
                    if task.cancelled():
                        continue
                    task.result()  # its fault is the race's
                    if self._lanes[task].finished:
                        yield self._lanes[task]
        finally:
            for task in self._lanes:
                task.cancel()
            await asyncio.gather(*self._lanes, return_exceptions=True)

    def leave_after(self, rank: Rank) -> None:
        """Leave all that come after `rank`, now and from now on."""
        self._bar = rank
        for task, runner in self._lanes.items():
            if runner.under_way and runner.rank > rank:
                runner.under_way = False
                task.cancel()

    async def _run(self, runner: Runner) -> None:
        request = self.env.request(Trajectory.root(), runner.number)
        try:
            async with self.env.backend.open(replace(request, watch=self.watch)) as stream:
                async for chunk in stream:
                    runner.see(chunk, stream.usage.completion_tokens, self.marker)
                    if runner.rank > self._bar:
                        break
                runner.under_way = False  # one that is being left must not be cancelled as well
        except BudgetExhausted:
            return
        if stream.trajectory.finish != "abort":
            runner.candidate = await self.env.candidate(stream.trajectory)


def candidates_of(runners: Sequence[Runner]) -> tuple[Candidate, ...]:
    """The answers of those that came to an end, by number."""
    ordered = sorted(runners, key=lambda runner: runner.number)
    return tuple(r.candidate for r in ordered if r.candidate is not None)
