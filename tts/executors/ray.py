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

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from itertools import count
from typing import Any

from tts.budget import Budget
from tts.budget.allocation import SharesPot
from tts.errors import BackendError, BudgetExhausted, ConfigError, EngineDead, EngineStartFailed
from tts.executors._cluster import Cluster, check_installed
from tts.executors._crew import Crew
from tts.executors._flat import pack
from tts.executors._member import Lost, Member
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


class RayPool:
    """Workers on a Ray cluster, shared by executors that are used one after the other.

    Args:
        workers: How many, at least 1.
        address: Of a running cluster (`auto` for the one of this machine); None to start one on
            this machine for as long as it is needed.
        cpus: Processors that a worker takes of the cluster, at least 0; Ray's book-keeping only.
        gpus: GPUs that a worker sees and its engines share, at least 0.
        resources: Further resources of the cluster that a worker takes, by name.
        restarts: How many lost workers are replaced, in all, at least 0.
        patience_seconds: How long a worker may wait for its place and its process.
        object_store_mib: Shared memory (MiB) of a cluster that is started here, at least 75.

    Attributes:
        numbers: Tell its executors apart.

    Raises:
        ConfigError: Ray is not installed, or a setting lies outside its range.
    """

    def __init__(
        self,
        workers: int = 2,
        address: str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        resources: Mapping[str, float] | None = None,
        restarts: int = 4,
        patience_seconds: float = 600.0,
        object_store_mib: int = 200,
    ) -> None:
        for name, value, least in (
            ("workers", workers, 1),
            ("cpus", cpus, 0),
            ("gpus", gpus, 0),
            ("restarts", restarts, 0),
            ("patience_seconds", patience_seconds, 1),
            ("object_store_mib", object_store_mib, 75),
        ):
            if not value >= least:
                raise ConfigError(f"executor.{name} is {value:g}; it must be at least {least}.")
        check_installed()
        self.workers = workers
        self.numbers = count()
        self._options = {"num_cpus": cpus, "num_gpus": gpus, "resources": dict(resources or {})}
        self._each = {"CPU": cpus, "GPU": gpus, **(resources or {})}
        self._patience = patience_seconds
        self._cluster = Cluster(address, workers * cpus, object_store_mib)
        self._crew: Crew[Member] = Crew(self._hire, workers, restarts)
        self._order: _Order | None = None
        self._starting = asyncio.Lock()

    async def start(self, order: _Order) -> None:
        """Have all workers ready for an order; safe to call again.

        Raises:
            ConfigError: The cluster cannot be used, has no room, or a worker is not what it should.
            BackendError: A worker, or its engine, did not come up.
        """
        async with self._starting:
            if order is self._order:
                return
            self._cluster.join()
            self._order = order
            try:
                await asyncio.gather(*map(self._teach, self._crew.members))
                await self._crew.fill()
            except Lost as loss:
                raise EngineStartFailed(f"A Ray worker did not come up: {loss}.") from loss

    async def solve(self, name: str, problem: Problem, budget: Budget | None) -> Result:
        """Have a problem solved by whoever has the least in hand.

        Args:
            name: Of the order.
            problem: The problem.
            budget: Its limits; None for those of the setup.

        Raises:
            Lost: The worker was lost with it.
            BackendError: No worker is left.
        """
        member = await self._crew.free()
        member.load += 1
        try:
            result: Result = await member.ask("solve", name, pack((problem, budget)))
            fault = result.error
            if isinstance(fault, EngineDead | EngineStartFailed) and not fault.retryable:
                raise fault
            return result
        except (Lost, EngineDead, EngineStartFailed) as error:
            self._crew.lose(member, error)
            raise Lost(str(error)) from error
        finally:
            member.load -= 1

    async def aclose(self) -> None:
        """Close the engines, end the workers, and leave the cluster; safe to call again."""
        async with self._starting:
            self._order = None
            try:
                await self._crew.aclose()
            finally:
                self._cluster.leave()

    async def _hire(self) -> Member:
        """A new worker, ready for the order."""
        member = Member(self._options)
        try:
            await self._place(member)
            order = None
            while order is not self._order:  # another may be given meanwhile
                order = self._order
                await self._prepare(member, order)
        except BaseException:
            member.kill()
            raise
        return member

    async def _place(self, member: Member) -> None:
        wanted = {name: amount * self.workers for name, amount in self._each.items() if amount}
        lacking = self._cluster.lacks(wanted)
        if lacking and not self._cluster.grows:
            raise self._no_room(lacking)
        if not await member.placed(self._patience):
            raise self._no_room(lacking or f"none was free within {self._patience:g} s")

    def _no_room(self, there: str) -> ConfigError:
        each = ", ".join(f"{amount:g} {name}" for name, amount in self._each.items() if amount)
        return ConfigError(
            f"The Ray cluster has no room for {self.workers} workers of {each} each: {there}.",
            hint="Lower executor.workers, executor.cpus or executor.gpus, or join a larger cluster"
            " (executor.address).",
        )

    async def _teach(self, member: Member) -> None:
        """Prepare a worker that is there already."""
        try:
            await self._prepare(member, self._order)
        except (Lost, EngineDead, EngineStartFailed) as error:
            self._crew.lose(member, error)

    async def _prepare(self, member: Member, order: _Order | None) -> None:
        """Have a worker make and start the setup, and compare what it is with what it should be."""
        if order is None:  # the pool is being closed
            return
        found = await member.ask("prepare", order.name, order.recipe)
        for part, wanted in order.identities.items():
            if found.get(part) != wanted:
                raise ConfigError(
                    f"The {part} of a Ray worker is not the one configured here: it is"
                    f" {_differences(found.get(part) or {}, wanted)}.",
                    hint="Run the command on a machine like those of the workers, and give all of"
                    " them the same weights and versions.",
                )


@dataclass(frozen=True, eq=False)
class _Order:
    """What workers are to be ready for."""

    name: str
    recipe: Recipe
    identities: Mapping[str, Mapping[str, Any]]


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
        self._order = _Order(f"setup {next(pool.numbers)}", recipe, identities(setup))

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


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    pairs = (f"{name} {found.get(name)!r} instead of {wanted.get(name)!r}" for name in names)
    return ", ".join(pairs)
