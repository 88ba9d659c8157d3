"""The workers of a Ray cluster: brought, taught what they are to solve by, asked, and replaced.

Knows not where problems come from, nor budgets of several problems; see `tts.executors.ray`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from tts.budget import Budget
from tts.errors import ConfigError, EngineDead, EngineStartFailed
from tts.executors._cluster import Cluster, check_installed
from tts.executors._crew import Crew
from tts.executors._flat import pack
from tts.executors._member import Lost, Member
from tts.executors._worker import Recipe
from tts.types import Problem, Result

_LOG = logging.getLogger("tts")


@dataclass(frozen=True, eq=False)
class Order:
    """What workers are to be ready for.

    Attributes:
        name: Tells it from others of the pool.
        recipe: Makes the setup.
        identities: What it must say of itself, see `tts.executors._worker.identities`.
    """

    name: str
    recipe: Recipe
    identities: Mapping[str, Mapping[str, Any]]


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
        self._order: Order | None = None
        self._starting = asyncio.Lock()

    async def start(self, order: Order) -> None:
        """Have all workers ready for an order; safe to call again.

        Raises:
            ConfigError: The cluster cannot be used, has no room, or a worker is not what it should.
            BackendError: A worker, or its engine, did not come up.
        """
        async with self._starting:
            if order is self._order:
                return
            if self._order is None:
                _LOG.info(f"Starting {self.workers} Ray workers …")
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

    async def _prepare(self, member: Member, order: Order | None) -> None:
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


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    pairs = (f"{name} {found.get(name)!r} instead of {wanted.get(name)!r}" for name in names)
    return ", ".join(pairs)
