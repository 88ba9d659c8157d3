"""Problems over the workers of a Ray cluster: each an actor with an engine of its own.

* A problem goes to whoever has the least in hand, so the fast take from the slow. Draws derive
  from the names of problems, so where one is solved changes nothing.
* An actor's devices are on one node, and the engine in it splits its model over just these. There
  is no placement group on purpose: inside one, vLLM would ask Ray for further actors.
* A worker is lost if its process ends, its node does not answer, or its engine dies for good. What
  it had in hand runs again elsewhere, and another worker comes in its place. So nothing is recorded
  twice, and nothing paid twice but what was in flight.
* Limits of one problem hold in its worker. Limits of all are leased here, see `_purse`.
* Workers tell what they are: one whose weights, numerics or verifier differ from those configured
  here is refused.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any

from tts.budget import Budget
from tts.budget.allocation import SharesPot
from tts.errors import BackendError, BudgetExhausted, ConfigError
from tts.executors._member import Lost
from tts.executors._pool import Order
from tts.executors._pool import RayPool as RayPool
from tts.executors._purse import Purse, check_own
from tts.executors._stream import side_by_side
from tts.executors._worker import Recipe as Recipe
from tts.executors._worker import Shelf as Shelf
from tts.executors._worker import identities
from tts.protocols import Stepwise
from tts.solve import Setup
from tts.types import Decided, Done, Event, Problem, Result, Spent, Usage

TRIES = 3
"""How often a problem is handed out that is lost with its worker each time; then it has failed."""


class RayExecutor:
    """Solves by one setup on the workers of a pool. Implements `tts.executors.Executor`.

    Args:
        pool: The workers.
        recipe: Makes the setup, in each of them.
        setup: The same as it is made here, where it is never started: its limits are read, and
            workers are compared with it.
    """

    def __init__(self, pool: RayPool, recipe: Recipe, setup: Setup) -> None:
        self._pool, self._setup = pool, setup
        self._order = Order(f"setup {next(pool.numbers)}", recipe, identities(setup))

    def check(self, total_budget: Budget | None) -> None:
        """Refuse what workers cannot keep between them.

        Raises:
            ConfigError: The controller divides one pot among all problems, or the total limits
                what `budget` does not.
        """
        if isinstance(self._setup.controller, SharesPot):
            raise ConfigError(
                f"The controller {type(self._setup.controller).__name__} divides one budget among"
                " all problems, and the workers of executor=ray see one problem at a time.",
                hint="Set executor=local, or another controller.",
            )
        self._setup.check_total(total_budget)
        check_own(total_budget, self._setup.budget)

    async def start(self) -> None:
        """Have all workers ready; safe to call again.

        Raises:
            ConfigError: The cluster cannot be used, has no room, or a worker is not what it should.
            BackendError: A worker, or its engine, did not come up.
        """
        await self._pool.start(self._order)

    async def solve(
        self,
        problems: Iterable[Problem],
        *,
        concurrency: int,
        total_budget: Budget | None = None,
        spent: Usage = Usage(),
        on_event: Callable[[Event], None] | None = None,
    ) -> AsyncGenerator[Result]:
        """Solve problems side by side; see `tts.executors.Executor`."""
        if concurrency < 1:
            raise ConfigError(f"concurrency is {concurrency}; it must be at least 1.")
        self.check(total_budget)
        await self.start()
        strategy = self._setup.strategy
        least = strategy.first_step if isinstance(strategy, Stepwise) else Usage()
        purse = Purse(total_budget, spent, self._setup.budget, least)

        async def work(problem: Problem) -> Result:
            result = await self._solved(problem, purse)
            for event in _events(result) if on_event else ():
                on_event(event)  # type: ignore[misc]
            return result

        async with aclosing(side_by_side(problems, work, concurrency)) as results:
            async for result in results:
                yield result

    async def _solved(self, problem: Problem, purse: Purse) -> Result:
        """What comes of a problem, wherever it has to be begun again."""
        why = ""
        for _ in range(TRIES):
            try:
                share = await purse.take()
            except BudgetExhausted as dry:
                return _ended(problem, "exhausted", limit=dry.limit)
            try:
                result = await self._pool.solve(self._order.name, problem, share.budget)
            except Lost as loss:
                share.settle(None)
                why = str(loss)
                continue
            share.settle(result.usage)
            return share.named(result)
        fault = BackendError(f"It was lost with its worker {TRIES} times; the last time: {why}.")
        return _ended(problem, "failed", error=fault)

    async def aclose(self) -> None:
        """Close the pool, and with it all its executors; safe to call again."""
        await self._pool.aclose()


def _ended(problem: Problem, status: Any, **details: Any) -> Result:
    return Result(problem.id, None, status=status, repeat=problem.repeat, **details)


def _events(result: Result) -> list[Event]:
    """What there is to tell of a problem that was solved elsewhere, all at its end."""
    name = result.problem_id
    decided = [Decided(name, decision) for decision in result.decisions]
    return [Spent(name, result.usage), *decided, Done(name, result)]
