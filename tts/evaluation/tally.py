"""What has come of an arm so far, for those who watch it: counts, costs, what is left."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tts.budget import Budget
from tts.budget.pot import LEASED, cost_of
from tts.evaluation.records import Outcome
from tts.evaluation.runner import Arm
from tts.types import Usage


class Tally:
    """Counts the problems of an arm.

    Args:
        arm: Which one.
        total: Its problems, repeats counted.
        clock: Seconds, from any point in time.

    Attributes:
        label: Of the arm.
        total: Its problems, repeats counted.
        done: Problems that are recorded, those of earlier sittings included.
        here: Those of this sitting.
        failed: Those that failed.
        graded: Those of which it is known whether they are right.
        right: Those that are.
        spent: What this sitting has cost.
        earlier: What the problems of earlier sittings have cost.
    """

    def __init__(self, arm: Arm, total: int, clock: Callable[[], float]) -> None:
        self.label, self.total = arm.label, total
        self.done = self.here = self.failed = self.graded = self.right = 0
        self.spent = self.earlier = Usage()
        self._budgets: Sequence[tuple[Budget | None, int]] = (
            (arm.setup.budget, total),
            (arm.total_budget, 1),
        )
        self._clock = clock
        self._started = clock()

    def begin(self, outcomes: Sequence[Outcome]) -> None:
        """Count the problems of earlier sittings."""
        for outcome in outcomes:
            self._count(outcome)
        self.earlier = Usage.total(outcome.usage for outcome in outcomes)

    def count(self, outcome: Outcome) -> None:
        """Count a problem of this sitting."""
        self._count(outcome)
        self.here += 1

    def _count(self, outcome: Outcome) -> None:
        self.done += 1
        self.failed += outcome.failed
        self.graded += outcome.graded and not outcome.failed
        self.right += outcome.correct

    @property
    def seconds(self) -> float:
        """Time since the arm started in this sitting."""
        return max(self._clock() - self._started, 1e-9)

    @property
    def accuracy(self) -> float | None:
        """Part of the graded problems that is right; None if none is graded."""
        return self.right / self.graded if self.graded else None

    @property
    def seconds_left(self) -> float | None:
        """Time to the end at the pace so far; None if nothing is done yet."""
        if not self.here:
            return None
        return self.seconds / self.here * max(0, self.total - self.done)

    @property
    def budget_left(self) -> float | None:
        """The part of all budgets that is left, by the limit that is used most; None without."""
        used = [
            cost_of(self.spent + self.earlier, limit) / (most * times)
            for budget, times in self._budgets
            if budget is not None
            for limit in LEASED
            if (most := getattr(budget, limit))
        ]
        return max(0.0, 1 - max(used)) if used else None
