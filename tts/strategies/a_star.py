"""A*-decoding: best-first search over partial answers, guided by a process reward model.

Source: Chatziveroglou 2025, "A*-Decoding: Token-Efficient Inference Scaling". A state is a partial
answer; the open one with the least f = g + h is continued by `k` next steps, and the first whole
answer that would be continued is the result. h = 1 - r, where r is the probability that the
verifier gives; at the start h = 1.

The paper's cost g of an edge is known from a survey alone, which says that only increases of h are
accumulated. There are two readings, and an ablation (`AStar.cost`). With the sum of all rises of h
on the way to a state:

    consistent   g' = g + max(0, h - h'), so f = 1 + rises: never falls along a path, and the first
                 answer that comes to the top has the least f of all.
    drops        g' = g + max(0, h' - h), so f = h + rises: drops of the reward are paid for.
    none         g' = 0, so f = h: greedy best-first search.

`drops` is the default: with `consistent` a good path whose reward dips once waits for all poor
first steps, whose h never rose (see `experiments/search_at_equal_compute`).

Not of the paper: `pops` above 1 continues several states at once, for throughput; `frontier` bounds
what is kept open. Both keep the result independent of the order in which steps arrive.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from tts.errors import BudgetExhausted, ConfigError, TTSError, VerifierError
from tts.protocols import Env, Selector
from tts.selectors import BestScore
from tts.strategies._common import generate
from tts.strategies._frontier import Action, Child, Expand, Finish, Frontier
from tts.strategies._steps import STEPWISE, Harvest, Stepper, check_width, room_for_rest
from tts.types import Candidate, Capability, Problem, Result, Trajectory, Usage

Cost = Literal["consistent", "drops", "none"]
_F: Mapping[Cost, Callable[[float, float], float]] = {
    # In sums of rises alone, equal values stay equal: many states tie at f = 1, and rounding must
    # not decide between them.
    "consistent": lambda h, rises: 1 + rises,
    "drops": lambda h, rises: h + rises,
    "none": lambda h, rises: h,
}


@dataclass(frozen=True)
class AStar:
    """A*-decoding.

    `Result.details` tells why the search ended (`end`: `goal`, `budget`, `expansions` or `empty`),
    and how many states of each depth, from 0, were continued (`popped`) and left open (`frontier`).

    Args:
        k: Next steps drawn from a state, at least 1.
        cost: Of an edge: `consistent`, `drops` or `none`; see the module.
        pops: States continued at once, at least 1; 1 is the paper's search.
        frontier: Most states kept open, at least 1; the worst are dropped. None for no limit.
        max_expansions: Most states continued, at least 1.
        stepper: What ends a step.
        selector: Chooses among the answers found, where the search ends before one is on top.
    """

    k: int = 4
    cost: Cost = "drops"
    pops: int = 1
    frontier: int | None = None
    max_expansions: int = 100
    stepper: Stepper = Stepper()
    selector: Selector = BestScore()
    requires: frozenset[Capability] = STEPWISE

    def __post_init__(self) -> None:
        for name in ("k", "pops", "max_expansions"):
            check_width(name, getattr(self, name))
        if self.frontier is not None:
            check_width("frontier", self.frontier)
        if self.cost not in get_args(Cost):
            raise ConfigError(
                f"strategy.cost is {self.cost!r}; it must be one of {', '.join(get_args(Cost))}.",
                hint="Set strategy.cost=drops.",
            )

    @property
    def first_step(self) -> Usage:
        """A token and a judgement for each step from the start."""
        return Usage(completion_tokens=self.k, calls=self.k, verifier_calls=self.k)

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Search; where that ends without a result, take the best of what there is."""
        search = Search(self.k, self.cost, self.pops, self.frontier, self.max_expansions)
        harvest = Harvest(env, self.selector)
        driver = Frontier(problem, self.stepper, search, self.k * self.pops, harvest)
        await driver.run()
        search.push_children()  # of a round that the budget has ended
        # All were compared when the search ended, so that is when they are known.
        found = [replace(c, trajectory=c.trajectory.after(search.clock)) for c in search.ended]
        if search.goal is not None:
            best: Candidate | None = found[search.ended.index(search.goal)]
        else:
            best = await env.choose(self.selector, found)
        if best is None and (state := search.most_promising()):
            best = Candidate(state, None)  # for the landing reserve of the budget
            if not driver.dry:
                best = await self._finish(problem, env, state)
            env.publish(best)
            found.append(best)
        end = "budget" if driver.dry else search.end
        return Result(problem.id, best, tuple(found), details={"end": end, **search.depths()})

    async def _finish(self, problem: Problem, env: Env, state: Trajectory) -> Candidate:
        """Continue an open state greedily to its end; as it stands if the budget cannot pay."""
        request = replace(
            env.request(state, self.k),
            sampling=env.sampling.greedy(),
            max_tokens=room_for_rest(env, problem, state),
        )
        try:
            whole = await generate(env, request)
        except BudgetExhausted:
            return Candidate(state, None)
        if not self.stepper.finished(whole):
            return Candidate(whole, None)
        return await env.candidate(whole)


@dataclass(frozen=True, slots=True, order=True)
class State:
    """A partial or whole answer on the frontier; the least one is the first to be popped.

    Attributes:
        f: What it is ordered by.
        h: How far it looks from a right answer, 0 to 1: the first tie rule.
        height: Its depth, negative, so that the deeper one comes first: the second.
        number: Counts the states as they were drawn: the third.
        rises: Sum of the rises of h on the way to it.
        node: The answer.
        goal: Itself as a candidate, if it is whole and says something.
    """

    f: float
    h: float
    height: int
    number: int
    rises: float = field(compare=False)
    node: Trajectory = field(compare=False)
    goal: Candidate | None = field(default=None, compare=False)


@dataclass(eq=False)
class Search:
    """The policy: pop the best open states, draw their next steps, push them when all are there.

    Args:
        k: Steps drawn from a state.
        cost: Of an edge.
        pops: Most states popped in a round. A goal is popped alone: while a better state is
            continued it waits, so that it stays the best of all.
        cap: Most open states; None for no limit.
        max_expansions: Most states popped that are no goal.

    Attributes:
        goal: The first goal that was popped.
        ended: All whole answers, in the order of the draws.
        clock: Tokens that had to be generated one after another up to the last round.
        popped: The states that were continued, in order.
    """

    k: int = 4
    cost: Cost = "drops"
    pops: int = 1
    cap: int | None = None
    max_expansions: int = 100
    goal: Candidate | None = None
    ended: list[Candidate] = field(default_factory=list)
    clock: int = 0
    popped: list[State] = field(default_factory=list)
    _open: list[State] = field(default_factory=list)  # a heap
    _round: dict[Expand, State] = field(default_factory=dict)  # steps, and what they continue
    _flying: set[Expand] = field(default_factory=set)
    _children: dict[Expand, Child] = field(default_factory=dict)
    _texts: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._open.append(State(1.0, 1.0, 0, 0, 0.0, Trajectory.root()))

    def ask(self, free: int) -> Sequence[Action]:
        """The steps of this round that are missing; of the next one if none are."""
        if len(self._children) == len(self._round):
            self.push_children()
            states = self._pop()
            if not states:
                return [Finish()]
            for state in states:
                node = state.node.after(self.clock)
                self._round.update((Expand(node, child), state) for child in range(self.k))
        missing = [s for s in self._round if s not in self._flying and s not in self._children]
        self._flying.update(missing[:free])
        return missing[:free]

    def tell(self, step: Expand, outcome: Child | TTSError) -> None:
        """Keep a child until all of its round are there."""
        self._flying.discard(step)
        if isinstance(outcome, Child):
            self._children[step] = outcome

    def _pop(self) -> list[State]:
        """The best open states; none if the search has come to its end."""
        states: list[State] = []
        while self._open and len(states) < self.pops:
            if self._open[0].goal:
                if not states:
                    self.goal = heapq.heappop(self._open).goal
                break
            if len(self.popped) == self.max_expansions:
                break
            states.append(heapq.heappop(self._open))
            self.popped.append(states[-1])
        return states

    def push_children(self) -> None:
        """End a round: its children are open, in the order of the draws.

        So is a state that got none, as may be when the budget has ended the search.
        """
        for step, state in self._round.items():
            if step in self._children:
                self._push(state, self._children[step])
        for state in set(self._round.values()) - {self._round[step] for step in self._children}:
            heapq.heappush(self._open, state)
        if self.cap is not None:
            self._open = heapq.nsmallest(self.cap, self._open)  # sorted, and so a heap
        self._round.clear()
        self._children.clear()

    def _push(self, parent: State, child: Child) -> None:
        node, ended = child.node, child.ended
        self.clock = max(self.clock, node.clock)
        if ended:
            self.ended.append(ended)
        goal = ended if ended and ended.answer else None
        h = 1 - _probability(node)
        rises = parent.rises + max(0.0, h - parent.h)
        if (child.open or goal) and node.text not in self._texts:
            self._texts.add(node.text)
            f, number = _F[self.cost](h, rises), len(self._texts)
            heapq.heappush(self._open, State(f, h, -node.depth, number, rises, node, goal))

    @property
    def end(self) -> str:
        """Why the policy has ended the search."""
        if self.goal:
            return "goal"
        return "expansions" if self._open else "empty"

    def most_promising(self) -> Trajectory | None:
        """The open state that the verifier likes best, which is no goal."""
        states = [state for state in self._open if not state.goal]
        best = min(states, key=lambda state: (state.h, state), default=None)
        return best.node.after(self.clock) if best else None

    def depths(self) -> dict[str, list[int]]:
        """How many states of each depth, from 0, have been popped and are open."""
        return {"popped": _histogram(self.popped), "frontier": _histogram(self._open)}


def _histogram(states: Iterable[State]) -> list[int]:
    counts = Counter(state.node.depth for state in states)
    return [counts[depth] for depth in range(max(counts, default=-1) + 1)]


def _probability(node: Trajectory) -> float:
    assert node.score is not None, "steps are judged when they are drawn"
    try:
        return node.score.probability
    except ValueError as error:
        raise VerifierError(
            f"A*-decoding works with probabilities, and {error}.", hint="Or use beam_search."
        ) from error
