"""A beam search that waits for nobody: the barrier-free relative of `BeamSearch`.

After asynchronous successive halving, Li et al. 2020, "A System for Massively Parallel
Hyperparameter Tuning" (ASHA), with depths for rungs. A partial answer is continued by `width` next
steps as soon as it is among the best `seen // width` of those seen so far at its depth. A depth
has `n // width` such places, so no depth draws more than a beam search with the same numbers does.
Where nothing more can come to a depth, the best of it get the places that are left.

As in a beam, an answer that has ended and gets a place keeps it at the next depth as long as its
score does, and answers that say the same are one. What is drawn for a depth whose places are all
taken comes too late, and is aborted.

The price: early places go to the best of fewer, and quick (short) steps are there first. With
`n == width` there is a single place, for which all have to be seen, and the search is the beam's.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tts.errors import TTSError
from tts.protocols import Env, Selector, Strategy
from tts.selectors import BestScore
from tts.strategies._frontier import Action, Child, Drop, Expand, Finish, Frontier
from tts.strategies._steps import STEPWISE, Harvest, Stepper, check_width, raw
from tts.types import Capability, Problem, ProblemId, Result, Trajectory, Usage


@dataclass(frozen=True)
class AsyncBeam:
    """Beam search without barriers.

    Its choices depend on the order in which steps arrive. `Result.details` keeps it (`order`), and
    how many answers were seen at each depth, from 1, and given a place (`seen`, `promoted`).

    Args:
        n: Most candidates at each depth, and most steps in flight; at least `width`.
        width: Next steps drawn from each partial answer that is continued, at least 1.
        stepper: What ends a step.
        selector: Chooses among the answers at the end.
        order: The order of arrival to take, for problems by id and repeat; see `replaying`.
    """

    n: int = 8
    width: int = 4
    stepper: Stepper = Stepper()
    selector: Selector = BestScore()
    order: Mapping[tuple[ProblemId, int], Sequence[str]] = field(default_factory=dict)
    requires: frozenset[Capability] = STEPWISE

    def __post_init__(self) -> None:
        check_width("width", self.width)
        check_width("n", self.n, self.width)

    @property
    def first_step(self) -> Usage:
        """A token and a judgement for each candidate."""
        return Usage(completion_tokens=self.n, calls=self.n, verifier_calls=self.n)

    def replaying(self, results: Sequence[Result]) -> Strategy:
        """The same search, which takes the steps of these problems in the order they had then.

        Where a budget ended the search, it may end elsewhere: what aborted steps have cost depends
        on how far they had come.
        """
        known = {
            (result.problem_id, result.repeat): result.details["order"]
            for result in results
            if "order" in result.details
        }
        return replace(self, order=known)

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Continue whatever is good enough, until nothing is in flight."""
        ladder = Ladder(self.n, self.width, self.stepper.max_steps)
        harvest = Harvest(env, self.selector)
        order = self.order.get((problem.id, problem.repeat), ())
        driver = Frontier(problem, self.stepper, ladder, self.n, harvest, order)
        await driver.run()
        details = {"order": driver.arrived, **ladder.counts()}
        return Result(problem.id, await harvest.choice(), harvest.candidates, details=details)


@dataclass(eq=False)
class Level:
    """What has been seen at one depth.

    Attributes:
        seen: How many answers; copies, and those that are of no use, included.
        clock: Tokens that had to be generated one after another before all of them were known.
        ranked: The others, the best first, the earlier one in a tie.
        promoted: Those of them that got a place, by key.
    """

    seen: int = 0
    clock: int = 0
    ranked: list[Child] = field(default_factory=list)
    promoted: set[str] = field(default_factory=set)
    _texts: set[str] = field(default_factory=set)

    def add(self, child: Child, clock: int) -> None:
        """Take in an answer, known at logical time `clock` (tokens)."""
        self.seen += 1
        self.clock = max(self.clock, clock)
        if (child.open or child.ended) and child.node.text not in self._texts:
            self._texts.add(child.node.text)
            insort(self.ranked, child, key=lambda other: -raw(other.node))

    def first(self, top: int) -> Child | None:
        """The best without a place, if it is among the best `top`."""
        return next((c for c in self.ranked[:top] if c.node.key not in self.promoted), None)


@dataclass(eq=False)
class Ladder:
    """The policy: gives places, the deepest first, and draws what comes next.

    Args:
        n: Most candidates at a depth.
        width: Steps drawn from a partial answer that gets a place.
        max_steps: Most steps of an answer; at that depth there are no places.
    """

    n: int = 8
    width: int = 4
    max_steps: int = 40
    _levels: list[Level] = field(default_factory=list)  # by depth, from 1
    _due: list[Expand] = field(default_factory=list)
    _flying: dict[Expand, None] = field(default_factory=dict)  # a set in order
    _deepest: int = 0  # that a step has come to
    _full: int = 0  # the deepest depth without a free place; those above are of no more use

    def __post_init__(self) -> None:
        self._due += (Expand(Trajectory.root(), child) for child in range(self.n))

    def ask(self, free: int) -> Sequence[Action]:
        """Draw what stands in line; give places while that leaves slots free."""
        drops: list[Action] = []
        while len(self._due) < free + len(drops) and (found := self._promotable()):
            drops += self._promote(*found)
        steps, self._due = self._due[: free + len(drops)], self._due[free + len(drops) :]
        self._flying.update(dict.fromkeys(steps))
        return [*drops, *steps] if self._flying else [Finish()]

    def tell(self, step: Expand, outcome: Child | TTSError) -> None:
        """Rank a child; after a fault its step is due again."""
        del self._flying[step]
        if isinstance(outcome, Child):
            self._deepest = max(self._deepest, step.depth)
            self._level(step.depth).add(outcome, outcome.node.clock)
        else:
            self._due.insert(0, step)

    def counts(self) -> dict[str, list[int]]:
        """How many were seen at each depth that a step has come to, from 1, and got a place."""
        levels = self._levels[: self._deepest]
        return {
            "seen": [level.seen for level in levels],
            "promoted": [len(level.promoted) for level in levels],
        }

    def _level(self, depth: int) -> Level:
        while len(self._levels) < depth:
            self._levels.append(Level())
        return self._levels[depth - 1]

    def _promotable(self) -> tuple[int, Child, int] | None:
        """Depth, answer, and the logical time (tokens) at which it is known to get a place."""
        for depth in range(min(len(self._levels), self.max_steps - 1), self._full, -1):
            level = self._level(depth)
            if child := level.first(level.seen // self.width):
                return depth, child, level.clock
            if self._complete(depth) and (child := level.first(len(level.ranked))):
                return depth, child, max(other.clock for other in self._levels[:depth])
        return None

    def _complete(self, depth: int) -> bool:
        """Whether nothing more can come to a depth."""
        above = self._levels[self._full : depth - 1]
        waiting = any(len(level.promoted) < len(level.ranked) for level in above)
        return not waiting and all(s.depth > depth for s in (*self._due, *self._flying))

    def _promote(self, depth: int, child: Child, clock: int) -> list[Drop]:
        """Give a place, and drop what comes too late for one."""
        level = self._level(depth)
        level.promoted.add(child.node.key)
        if child.ended:
            self._level(depth + 1).add(child, clock)
        else:
            node = child.node.after(clock)
            self._due += (Expand(node, number) for number in range(self.width))
        if len(level.promoted) < self.n // self.width:
            return []
        self._full = depth
        self._due = [step for step in self._due if step.depth > depth]
        late = [step for step in self._flying if step.depth <= depth]
        for step in late:
            del self._flying[step]
        return [Drop(step) for step in late]
