"""A contest of arms by successive halving: what is asked for is solved, and told.

What was recorded is not solved again, and the decisions follow from the records alone; so a contest
that was interrupted takes the same way when it is held again, up to where it had come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tts.errors import BackendError
from tts.evaluation.runner import Arm, Watcher, evaluate
from tts.evaluation.store import Store
from tts.tasks import Task
from tts.tuning.sampling.halving import Ask, Halving
from tts.tuning.sampling.objective import samples_of, scores, values
from tts.types import ProblemId

GOES = 2
"""How often a problem is tried that fails: an engine that died is back for the second go."""

Values = Mapping[ProblemId, list[float]]
"""By problem, what it says of an arm, one value a repeat."""


@dataclass(frozen=True)
class Entrant:
    """An arm in a contest.

    Attributes:
        arm: How the problems are solved.
        pilot: The problems, the same in the same order for all entrants.
        k: Samples that decide; see `tts.tuning.sampling.objective.values`.
        concurrency: Most problems in flight.
    """

    arm: Arm
    pilot: Task
    k: int | None
    concurrency: int = 64

    @property
    def ids(self) -> list[ProblemId]:
        """Of the problems, in their order."""
        return [item.problem.id for item in self.pilot]


@dataclass(frozen=True)
class Contest:
    """What is needed to hold one.

    Attributes:
        entrants: By label.
        store: Where records go, open.
        watcher: Is told how each arm goes.
        told: Is told what is asked for, before it is done.
    """

    entrants: Mapping[str, Entrant]
    store: Store
    watcher: Watcher | None = None
    told: Callable[[Ask], None] = lambda asked: None

    async def hold(self, halving: Halving) -> None:
        """Solve what is asked for until one arm is left.

        Args:
            halving: Of the same arms; new.

        Raises:
            BackendError: No problem was solved by all arms.
            TTSError: A fault ended it, see `tts.evaluation.evaluate`.
        """
        while asked := halving.ask():
            self.told(asked)
            for label in asked.arms:
                await self._solve(label, asked.stop)
            found = {label: self._judged(label, asked) for label in asked.arms}
            try:
                halving.tell(
                    {label: marks for label, (marks, _) in found.items()},
                    {label: tokens for label, (_, tokens) in found.items()},
                )
            except ValueError as error:
                raise BackendError(
                    "No problem of the pilot was solved under all settings that are compared.",
                    hint=f"{self.store.folder} says what went wrong.",
                ) from error

    def values(self, label: str) -> Values:
        """What the problems that an arm was given say of it."""
        entrant = self.entrants[label]
        records = (
            self.store.record(label, o.problem_id, o.repeat) for o in self.store.outcomes(label)
        )
        return values(entrant.arm.setup, entrant.k, records)

    def tokens(self, label: str) -> float:
        """Completion tokens that the strategy takes for a problem; of more samples its share."""
        entrant, outcomes = self.entrants[label], self.store.outcomes(label)
        drawn = samples_of(entrant.arm.setup.strategy)
        share = entrant.k / drawn if entrant.k and drawn else 1.0
        spent = sum(o.usage.completion_tokens for o in outcomes)
        return share * spent / max(1, len(outcomes))

    async def _solve(self, label: str, stop: int) -> None:
        """Solve what is missing of the first problems; what fails has a second go."""
        entrant = self.entrants[label]
        first = set(entrant.ids[:stop])
        for _ in range(GOES):
            there = sum(name in first for name, _ in self.store.done(label))
            missing = stop * entrant.arm.repeats - there
            if not missing:
                return
            await evaluate(
                entrant.pilot,
                entrant.arm,
                store=self.store,
                concurrency=entrant.concurrency,
                watcher=self.watcher,
                limit=missing,
            )

    def _judged(self, label: str, asked: Ask) -> tuple[list[float | None], int]:
        """What the problems asked for say of an arm, and what they have cost."""
        entrant = self.entrants[label]
        ids = entrant.ids[asked.start : asked.stop]
        mine = [o for o in self.store.outcomes(label) if o.problem_id in set(ids)]
        records = (self.store.record(label, o.problem_id, o.repeat) for o in mine)
        marks = scores(values(entrant.arm.setup, entrant.k, records), ids)
        return marks, sum(o.usage.completion_tokens for o in mine)
