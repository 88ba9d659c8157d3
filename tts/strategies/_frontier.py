"""The driver of tree searches: a policy decides on plain data, the driver does what it says.

A policy is bookkeeping alone. It is asked what to do next, says it in actions, and is told what
came of each, one at a time. It draws nothing, waits for nothing and knows no budget, so it can be
tested against exhaustive search without a model in the loop.

The driver waits for no step in particular: whichever comes first is told, and what the policy wants
next is begun at once. Where the choices of a search depend on the order in which steps arrive, that
order is kept, and the same search can be driven in it again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tts.errors import BudgetExhausted, StrategyError, TTSError
from tts.strategies._steps import Harvest, Stepper, take_step
from tts.types import Candidate, Problem, Trajectory

ATTEMPTS = 3
"""Times that one step is tried before its fault ends the search."""


@dataclass(frozen=True, slots=True)
class Expand:
    """Draw the `child`-th next step of a partial answer, and have it judged."""

    node: Trajectory
    child: int

    @property
    def name(self) -> str:
        """Identity of the step, the same in every run with this seed."""
        return f"{self.node.key}/{self.child}"

    @property
    def depth(self) -> int:
        """Of what comes of it."""
        return self.node.depth + 1


@dataclass(frozen=True, slots=True)
class Drop:
    """Abort a step in flight. It frees its slot at once, and nothing is told of it."""

    step: Expand


@dataclass(frozen=True, slots=True)
class Finish:
    """End the search, and abort whatever is in flight."""


Action = Expand | Drop | Finish


@dataclass(frozen=True, slots=True)
class Child:
    """What came of a step.

    Attributes:
        node: The answer up to its end, judged.
        open: Whether it can be continued.
        ended: Itself as a candidate, if it is a whole answer. What is neither open nor ended was
            cut short by a cap, and is of no use.
    """

    node: Trajectory
    open: bool
    ended: Candidate | None = None


class Policy(Protocol):
    """Decides what is drawn next. Its choices depend on what it was told, in that order."""

    def ask(self, free: int) -> Sequence[Action]:
        """What to do now, in this order, with `free` slots (0 or more) for further steps.

        There may be no action only while something is in flight.
        """
        ...

    def tell(self, step: Expand, outcome: Child | TTSError) -> None:
        """What came of a step: the child, or a fault.

        After a fault everything must be as if the step had never been asked for, so that the next
        `ask` comes back to it.
        """
        ...


@dataclass(eq=False)
class Frontier:
    """One search under way.

    Args:
        problem: What is solved.
        stepper: What ends a step.
        policy: Decides.
        slots: Most steps in flight, at least 1.
        harvest: Takes in the answers that have ended, as they arrive. Its environment draws.
        order: Names of steps in the order in which they are to be told; empty for the order in
            which they arrive.

    Attributes:
        arrived: Names of the steps that were told, in order; faults that were tried again apart.
        dry: Whether the budget ended the search.
    """

    problem: Problem
    stepper: Stepper
    policy: Policy
    slots: int
    harvest: Harvest
    order: Sequence[str] = ()
    arrived: list[str] = field(default_factory=list)
    dry: bool = False
    _flying: dict[Expand, asyncio.Task[Trajectory]] = field(default_factory=dict)
    _dropped: list[asyncio.Task[Trajectory]] = field(default_factory=list)
    _landed: asyncio.Queue[Expand] = field(default_factory=asyncio.Queue)
    _faults: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Search until the policy ends it or the budget does.

        Where the budget ends it, nothing more is asked for, and what is in flight is still told.

        Raises:
            StrategyError: The policy broke its contract, or `order` is that of another search.
            BackendError: One step has failed `ATTEMPTS` times, or for good.
            VerifierError: The verifier failed.
        """
        try:
            while self._decide():
                await self._tell(await self._arrival())
        finally:
            tasks = [*self._flying.values(), *self._dropped]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _decide(self) -> bool:
        """Ask, and do as the policy says; whether there is something to wait for."""
        if self.dry:
            return bool(self._flying)
        for action in self.policy.ask(self.slots - len(self._flying)):
            match action:
                case Finish():
                    return False
                case Drop(step):
                    task = self._flying.pop(step)
                    task.cancel()
                    self._dropped.append(task)
                case Expand():
                    self._launch(action)
        if not self._flying:
            raise self._broken("asked for nothing, has nothing in flight, and is not done")
        return True

    def _launch(self, step: Expand) -> None:
        if step in self._flying or len(self._flying) == self.slots:
            raise self._broken("asked for a step in flight, or for more than there are slots")
        env = self.harvest.env
        room = self.stepper.room(env, self.problem, step.node)
        if not room:
            raise self._broken("expanded an answer that cannot be continued")
        task = asyncio.create_task(take_step(env, self.stepper, step.node, step.child, room))
        task.add_done_callback(lambda _: self._landed.put_nowait(step))
        self._flying[step] = task

    async def _arrival(self) -> Expand:
        """The step to tell of next: the first to arrive, or the one whose turn it is."""
        if len(self.arrived) < len(self.order) and not self.dry:
            turn = self.order[len(self.arrived)]
            step = next((step for step in self._flying if step.name == turn), None)
            if step is None:
                raise StrategyError(
                    f"The recorded order does not fit this search: step {turn} is not in flight.",
                    hint="Replay with the strategy, seed and model of the record.",
                )
            await asyncio.wait([self._flying[step]])
            return step
        while True:
            step = await self._landed.get()
            if step in self._flying and self._flying[step].done():  # neither told nor dropped
                return step

    async def _tell(self, step: Expand) -> None:
        """Tell the policy of a step that is done; a fault is raised if it is one too many."""
        outcome: Child | TTSError
        try:
            node = self._flying.pop(step).result()
        except BudgetExhausted as error:
            outcome, self.dry = error, True
        except TTSError as error:
            self._faults[step.name] += 1
            if not error.retryable or self._faults[step.name] == ATTEMPTS:
                raise
            self.policy.tell(step, error)
            return
        else:
            outcome = await self._child(node)
        self.arrived.append(step.name)
        self.policy.tell(step, outcome)

    async def _child(self, node: Trajectory) -> Child:
        if self.stepper.finished(node):
            await self.harvest.add(node)
            return Child(node, open=False, ended=self.harvest.candidates[-1])
        within = node.depth < self.stepper.max_steps
        room = within and self.stepper.room(self.harvest.env, self.problem, node)
        return Child(node, open=bool(room))

    def _broken(self, how: str) -> StrategyError:
        return StrategyError(f"{type(self.policy).__name__} {how}.")
