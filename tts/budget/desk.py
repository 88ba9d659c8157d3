"""The desk at which problems wait for the controller's decisions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tts.errors import ConfigError
from tts.protocols import Controller, PotView
from tts.types import Evidence, Grant, ProblemId, Stop


@dataclass(slots=True, eq=False)
class Desk:
    """Brings evidence to a controller and its decisions back, for problems side by side.

    A problem without a decision waits until another one asks or leaves. If all that are here wait
    and none is granted anything, they are stopped: otherwise the run would hang.

    Args:
        controller: Decides.
        pot: What it may know of the budget.
    """

    controller: Controller
    pot: PotView
    _present: int = 0
    _evidence: dict[ProblemId, Evidence] = field(default_factory=dict)
    _waiting: dict[ProblemId, asyncio.Future[Grant | Stop]] = field(default_factory=dict)

    def enter(self) -> None:
        """A problem starts."""
        self._present += 1

    def leave(self) -> None:
        """A problem has ended."""
        self._present -= 1
        if self._waiting:
            self._decide()

    async def ask(self, problem_id: ProblemId, evidence: Evidence) -> Grant | Stop:
        """Wait for the decision on a problem.

        Raises:
            ConfigError: The controller decided on a problem that did not ask, or granted less
                than one sample or more than were wanted.
        """
        future: asyncio.Future[Grant | Stop] = asyncio.get_running_loop().create_future()
        self._evidence[problem_id] = evidence
        self._waiting[problem_id] = future
        try:
            self._decide()
            return await future
        finally:
            self._evidence.pop(problem_id, None)
            self._waiting.pop(problem_id, None)

    def _decide(self) -> None:
        decisions = self.controller.decide(dict(self._evidence), self.pot)
        for decision in decisions:
            self._deliver(decision)
        if len(self._waiting) >= self._present:
            for problem_id in list(self._waiting):
                self._deliver(Stop(problem_id, "the controller decided nothing for anyone"))

    def _deliver(self, decision: Grant | Stop) -> None:
        future = self._waiting.pop(decision.problem_id, None)
        evidence = self._evidence.pop(decision.problem_id, None)
        name = type(self.controller).__name__
        if future is None or evidence is None:
            raise ConfigError(f"{name} decided on {decision.problem_id!r}, which did not ask.")
        if isinstance(decision, Grant) and not 1 <= decision.samples <= evidence.wants:
            error = ConfigError(
                f"{name} granted {decision.samples} samples to {decision.problem_id!r}, which"
                f" wants {evidence.wants}.",
                hint="Grant 1 to `wants`, or Stop.",
            )
            future.set_exception(error)
        elif not future.done():
            future.set_result(decision)
