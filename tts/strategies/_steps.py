"""Answers step by step: what ends a step, how one is drawn and judged, when an answer has ended.

What searches over partial answers share. It knows no search: which step is drawn next is theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from tts.errors import BudgetExhausted, ConfigError
from tts.protocols import Env, Selector
from tts.strategies._common import chosen, generate, interim
from tts.types import Candidate, Capability, Problem, Trajectory

T = TypeVar("T")

STEPWISE = frozenset({Capability.CONTINUATION, Capability.VERIFIER, Capability.PARTIAL_SCORES})
"""What a search over judged partial answers needs."""


@dataclass(frozen=True)
class Stepper:
    r"""What ends a step of an answer.

    Args:
        delimiter: Text that ends a step, and is kept; empty for steps of `max_tokens` tokens each.
        max_tokens: Longest step in tokens, at least 1; None for as long as the answer may be. A
            step that is cut here counts as a step.
        max_steps: Most steps of an answer, at least 1; one that has not ended by then is dropped.
        last: A step in which this text stands is the last one, even if the model would go on;
            empty if only the model ends an answer.
    """

    delimiter: str = "\n\n"
    max_tokens: int | None = None
    max_steps: int = 40
    last: str = "\\boxed"

    def __post_init__(self) -> None:
        if not self.delimiter and self.max_tokens is None:
            raise ConfigError(
                "stepper.delimiter is empty and stepper.max_tokens is not set, so no step ends.",
                hint="Set one of them, such as stepper.max_tokens=64.",
            )
        for name in ("max_tokens", "max_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"stepper.{name} is {value}; it must be at least 1.")

    @property
    def stop(self) -> tuple[str, ...]:
        """The strings at which a decode of one step stops."""
        return (self.delimiter,) if self.delimiter else ()

    def finished(self, node: Trajectory) -> bool:
        """Whether an answer has come to its end; a truncated one never has."""
        if node.finish == "stop":
            return True
        return bool(self.last) and node.finish == "step" and self.last in since_delimiter(node)

    def room(self, env: Env, problem: Problem, node: Trajectory) -> int:
        """Most tokens that the next step may have; 0 if the answer has ended, or used its cap."""
        if self.finished(node):
            return 0
        left = room_for_rest(env, problem, node)
        return left if self.max_tokens is None else min(left, self.max_tokens)


def room_for_rest(env: Env, problem: Problem, node: Trajectory) -> int:
    """Tokens that an answer may still have until it has used its cap, or the model's context."""
    total = env.backend.prompt_tokens(problem, node)
    used = total - env.backend.prompt_tokens(problem, Trajectory.root())
    return max(0, min(env.max_tokens - used, env.backend.model.context - total))


def check_width(name: str, value: int, least: int = 1) -> None:
    """Refuse a number of branches that makes no search.

    Raises:
        ConfigError: `value` is below `least`.
    """
    if value < least:
        raise ConfigError(f"strategy.{name} is {value}; it must be at least {least}.")


async def take_step(
    env: Env, stepper: Stepper, node: Trajectory, child: int, room: int
) -> Trajectory:
    """Draw one more step and have it judged; both are paid in one piece.

    Args:
        env: Where to draw.
        stepper: What ends the step.
        node: The partial answer.
        child: Number of the draw among the children of `node`.
        room: Most tokens, at least 1; see `Stepper.room`.

    Raises:
        BudgetExhausted: The budget cannot pay for both.
    """
    async with env.reserve(node, room) as inner:
        step = await draw(inner, stepper, node, child, inner.max_tokens)
        (step,) = await inner.score([step])
    return step


async def draw(env: Env, stepper: Stepper, node: Trajectory, child: int, room: int) -> Trajectory:
    """Draw one more step, of at most `room` tokens, unjudged.

    Raises:
        BudgetExhausted: The budget cannot pay for it.
    """
    request = env.request(node, child)
    return await generate(env, replace(request, stop=stepper.stop, max_tokens=room))


async def side_by_side(
    env: Env,
    problem: Problem,
    stepper: Stepper,
    nodes: Sequence[Trajectory],
    copies: int = 1,
    *,
    after: int = 0,
    first: int = 0,
    slots: int | None = None,
) -> dict[int, Trajectory]:
    """The barrier of particle filters and beams: a judged step for each of `nodes`, `copies` times.

    All steps begin when the last of `nodes` is known, which is what their clocks say. The children
    of `nodes[i]` are numbered from `first + i * copies`, so equal nodes get different draws.
    Answers that have ended, or used their cap, have no children.

    Args:
        env: Where to draw.
        problem: What is answered.
        stepper: What ends a step.
        nodes: The partial answers.
        copies: Steps for each of them, at least 1.
        after: Logical time (tokens) at which it was decided to draw them: where `nodes` were chosen
            among others, the latest clock of all of those.
        first: Number of the first child.
        slots: Most steps at once, at least 1; None for all.

    Returns:
        The children by number, in order; those that the budget cannot pay are left out.
    """
    start = max((node.clock for node in nodes), default=after)
    behind = [node.after(max(start, after)) for node in nodes]
    steps = {
        number: partial(take_step, env, stepper, node, number, room)
        for place, node in enumerate(behind)
        if (room := stepper.room(env, problem, node))
        for number in range(first + place * copies, first + (place + 1) * copies)
    }
    drawn = await together(list(steps.values()), slots)
    return {number: child for number, child in zip(steps, drawn, strict=True) if child is not None}


async def together(
    work: Sequence[Callable[[], Awaitable[T]]], slots: int | None = None
) -> list[T | None]:
    """Do pieces of work at once; if one fails, the others have been cancelled when it is raised.

    Args:
        work: What to do.
        slots: Most of them at once, at least 1; None for all.

    Returns:
        What came of each, in the order of `work`; None where the budget could not pay.
    """
    gate = asyncio.Semaphore(slots or max(1, len(work)))

    async def one(piece: Callable[[], Awaitable[T]]) -> T | None:
        async with gate:
            try:
                return await piece()
            except BudgetExhausted:
                return None

    tasks = [asyncio.create_task(one(piece)) for piece in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(eq=False)
class Harvest:
    """The answers that a search has brought to their end, the best of them published.

    Branches of a search that do not wait for each other may share one: what it holds in the end
    does not depend on which of them came first.

    Attributes:
        env: Of the problem.
        selector: Compares them.
        best: The best of them, or None.
    """

    env: Env
    selector: Selector
    best: Candidate | None = None
    _found: dict[int, list[Candidate]] = field(default_factory=dict)
    _leads: dict[int, Trajectory] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Those found so far, by branch, and within one in the order in which they were added."""
        return tuple(c for branch in sorted(self._found) for c in self._found[branch])

    async def add(self, *nodes: Trajectory, branch: int = 0) -> None:
        """Take in answers that have ended."""
        if not nodes:
            return
        async with self._turn:
            found = [await self.env.candidate(node) for node in nodes]
            self._found.setdefault(branch, []).extend(found)
            self.best = await self.env.choose(interim(self.selector), self.candidates)
            if self.best is not None:
                self.env.publish(self.best)

    async def choice(self) -> Candidate | None:
        """The best of them when the search has ended."""
        return await chosen(self.env, self.selector, self.best, self.candidates)

    def lead(self, node: Trajectory, branch: int = 0) -> None:
        """Say which open end is the best of a branch.

        As long as no answer has been found, the best of all branches is published, without an
        answer: it is the one that a landing reserve closes.
        """
        self._leads[branch] = node
        if self.best is None:
            self.env.publish(Candidate(max(self._leads.values(), key=raw), None))


def raw(node: Trajectory) -> float:
    """What the verifier said of a node, on its own scale."""
    assert node.score is not None, "steps are judged when they are drawn"
    return node.score.raw


def since_delimiter(node: Trajectory) -> str:
    """The text since a delimiter last ended a step.

    Pieces that a cap has cut, or a watcher has put there, belong together.
    """
    text, above = "", node
    while above.segment is not None and above.parent is not None:
        text, above = above.segment.text + text, above.parent
        if above.finish in ("step", "stop"):
            break
    return text


def without_copies(nodes: Sequence[Trajectory]) -> list[Trajectory]:
    """The nodes without those that say what another one before them says.

    An answer that the model has ended says more than the same text without an end.
    """
    first: dict[tuple[str, bool], Trajectory] = {}
    for node in nodes:
        first.setdefault((node.text, node.finish == "stop"), node)
    return list(first.values())
