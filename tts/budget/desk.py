"""The desk at which problems wait for the controller's decisions, and where these are logged.

Each time a problem asks, or leaves while others wait, is a turn: the controller sees the evidence
of all that wait. A decision is handed out with its basis, from which `tts.budget.replay` can take
it again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from tts.errors import ConfigError
from tts.protocols import Controller, PotView
from tts.types import Basis, Evidence, Grant, ProblemId, Stop, Usage


@dataclass(slots=True, eq=False)
class _Glass:
    """A pot seen through a glass that remembers what was looked at."""

    pot: PotView
    left: dict[str, float] = field(default_factory=dict)
    paid: Usage | None = None

    @property
    def spent(self) -> Usage:
        """What has been paid so far."""
        self.paid = self.pot.spent
        return self.paid

    def remaining(self, limit: str) -> float:
        """What is left of the named limit."""
        self.left[limit] = self.pot.remaining(limit)
        return self.left[limit]


@dataclass(slots=True, eq=False)
class _SharedGlass(_Glass):
    """The same where problems share the pot: their number can be seen as well."""

    present: int = 0
    coming: int | None = None


@dataclass(slots=True, eq=False)
class _Ticket:
    """A problem that waits: `turn` is that of its decision, 0 until there is one."""

    evidence: Evidence
    asked: int
    future: asyncio.Future[Grant | Stop]
    turn: int = 0


@dataclass(slots=True, eq=False)
class Desk:
    """Brings evidence to a controller and its decisions back, for problems side by side.

    A problem without a decision waits until another one asks or leaves. If all that are here wait
    and none is granted anything, they are stopped: otherwise the run would hang.

    Args:
        controller: Decides.
        pot: What it may know of the budget.
        shared: Whether problems share the pot; the controller then also sees how many are `present`
            and how many are `coming`.
        coming: Problems that have not begun; None if nobody knows.
    """

    controller: Controller
    pot: PotView
    shared: bool = False
    coming: int | None = None
    _present: int = 0
    _turn: int = 0
    _waiting: dict[ProblemId, _Ticket] = field(default_factory=dict)

    def enter(self) -> None:
        """A problem starts."""
        self._present += 1
        if self.coming is not None:
            self.coming -= 1

    def leave(self) -> None:
        """A problem has ended; a controller that fails now fails those who wait."""
        self._present -= 1
        if not self._waiting:
            return
        try:
            self._decide()
        except Exception as error:
            for ticket in self._waiting.values():
                if not ticket.future.done():
                    ticket.future.set_exception(error)

    async def ask(
        self, problem_id: ProblemId, evidence: Evidence, log: list[Grant | Stop] | None = None
    ) -> Grant | Stop:
        """Wait for the decision on a problem.

        Args:
            problem_id: Of the problem, unique at this desk.
            evidence: What it shows.
            log: The decision is added to it; a `Stop` by nobody if the caller is cancelled.

        Raises:
            ConfigError: The controller decided on a problem that did not ask, or granted less
                than one sample or more than were wanted.
        """
        future: asyncio.Future[Grant | Stop] = asyncio.get_running_loop().create_future()
        ticket = self._waiting[problem_id] = _Ticket(evidence, self._turn + 1, future)
        try:
            self._decide()
            return await future
        finally:
            self._waiting.pop(problem_id, None)
            if log is not None:
                log.append(self._outcome(problem_id, ticket))

    def _outcome(self, problem_id: ProblemId, ticket: _Ticket) -> Grant | Stop:
        future = ticket.future
        if future.done() and not future.cancelled() and future.exception() is None:
            return future.result()
        last = ticket.turn or self._turn
        basis = Basis(ticket.evidence, ticket.asked, last, "nobody", self.shared)
        return Stop(problem_id, "left before a decision", basis)

    def _decide(self) -> None:
        self._turn += 1
        glass = (
            _SharedGlass(self.pot, present=self._present, coming=self.coming)
            if self.shared
            else _Glass(self.pot)
        )
        shown = {problem_id: ticket.evidence for problem_id, ticket in self._waiting.items()}
        for decision in self.controller.decide(shown, glass):
            self._deliver(decision, "controller", glass)
        if len(self._waiting) >= self._present:
            for problem_id in list(self._waiting):
                said = "the controller decided nothing for anyone"
                self._deliver(Stop(problem_id, said), "desk", glass)

    def _deliver(
        self, decision: Grant | Stop, by: Literal["controller", "desk"], glass: _Glass
    ) -> None:
        ticket = self._waiting.pop(decision.problem_id, None)
        name = type(self.controller).__name__
        if ticket is None:
            raise ConfigError(f"{name} decided on {decision.problem_id!r}, which did not ask.")
        ticket.turn = self._turn
        if ticket.future.done():
            return  # it has left, and is about to say so
        if isinstance(decision, Grant) and not 1 <= decision.samples <= ticket.evidence.wants:
            error = ConfigError(
                f"{name} granted {decision.samples} samples to {decision.problem_id!r}, which"
                f" wants {ticket.evidence.wants}.",
                hint="Grant 1 to `wants`, or Stop.",
            )
            ticket.future.set_exception(error)
        else:
            ticket.future.set_result(replace(decision, basis=self._basis(ticket, by, glass)))

    def _basis(self, ticket: _Ticket, by: Literal["controller", "desk"], glass: _Glass) -> Basis:
        return Basis(
            ticket.evidence,
            ticket.asked,
            self._turn,
            by,
            self.shared,
            left=MappingProxyType(glass.left),
            spent=glass.paid,
            present=self._present,
            coming=self.coming,
        )
