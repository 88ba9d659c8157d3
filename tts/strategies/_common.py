"""What strategies share: whole answers drawn side by side, and choosing among them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from tts.errors import BudgetExhausted, ConfigError
from tts.protocols import Env, Selector
from tts.selectors import Majority
from tts.types import Candidate, Problem, Request, Result, Trajectory

T = TypeVar("T")


def check_n(n: int) -> None:
    """Refuse a number of samples below one.

    Raises:
        ConfigError: `n` is below 1.
    """
    if n < 1:
        raise ConfigError(f"strategy.n is {n}; it must be at least 1.", hint="Set strategy.n=8.")


def interim(selector: Selector) -> Selector:
    """What compares candidates while more of them are to come: nothing that asks a model."""
    return Majority() if selector.asks else selector


async def chosen(
    env: Env, selector: Selector, so_far: Candidate | None, candidates: Sequence[Candidate]
) -> Candidate | None:
    """The choice when all candidates are there, given that of `interim`."""
    return await env.choose(selector, candidates) if selector.asks else so_far


async def generate(env: Env, request: Request) -> Trajectory:
    """Decode a request to its end.

    Raises:
        BudgetExhausted: The budget cannot pay for it.
    """
    async with env.backend.open(request) as stream:
        async for _ in stream:
            pass
    return stream.trajectory


async def answers(
    env: Env, numbers: range, *, after: int, scored: bool
) -> AsyncGenerator[tuple[int, Candidate]]:
    """Draw whole answers side by side, and have each judged as soon as it is there.

    Args:
        env: Where to draw.
        numbers: Of the answers; they are the child numbers of the seeds.
        after: Logical time (tokens) at which it was decided to draw them.
        scored: Whether the verifier judges them. Answer and judgement are paid in one piece.

    Yields:
        Number and candidate, as they finish. Those that the budget cannot pay are left out.
    """
    root = Trajectory.root(clock=after)

    async def one(number: int) -> tuple[int, Candidate] | None:
        try:
            if not scored:
                trajectory = await generate(env, env.request(root, number))
            else:
                async with env.reserve(root) as inner:
                    trajectory = await generate(inner, inner.request(root, number))
                    (trajectory,) = await inner.score([trajectory])
        except BudgetExhausted:
            return None
        return number, await env.candidate(trajectory)

    async with aclosing(as_they_come(one(number) for number in numbers)) as arriving:
        async for drawn in arriving:
            yield drawn


async def as_they_come(draws: Iterable[Coroutine[Any, Any, T | None]]) -> AsyncGenerator[T]:
    """Run draws side by side; those that are still under way when this is left are cancelled.

    Yields:
        What comes of them, as they finish; nothing for None.
    """
    running = list(draws)
    if len(running) == 1:  # nothing to run beside it
        drawn = await running[0]
        if drawn is not None:
            yield drawn
        return
    tasks = [asyncio.create_task(draw) for draw in running]
    try:
        for finished in asyncio.as_completed(tasks):
            drawn = await finished
            if drawn is not None:
                yield drawn
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def sample_and_select(
    problem: Problem,
    env: Env,
    n: int,
    selector: Selector,
    *,
    scored: bool,
    begun: Sequence[Candidate] = (),
) -> Result:
    """Draw up to `n` answers, as many as the controller lets, and select one.

    The best so far is published as answers arrive. Between the controller's grants lies a barrier:
    what is drawn next depends on all that was drawn before. Those of `begun` are the first ones,
    drawn and judged already.
    """
    pool: dict[int, Candidate] = dict(enumerate(begun))
    best: Candidate | None = None
    asked, due = len(pool), 0
    clock = max((c.trajectory.clock for c in begun), default=0)
    while asked < n and (granted := await env.more(_ordered(pool), n - asked)):
        batch = range(asked, asked + granted)
        async with aclosing(answers(env, batch, after=clock, scored=scored)) as arriving:
            async for number, candidate in arriving:
                pool[number] = candidate
                if len(pool) >= due:
                    # Ever rarer as the pool grows, so that all choices together cost O(n).
                    due = len(pool) + 1 + len(pool) // 2
                    best = await env.choose(interim(selector), _ordered(pool))
                    if best is not None:
                        env.publish(best)
        asked += granted
        if len(pool) < asked:
            break  # the budget is spent
        clock = max(c.trajectory.clock for c in pool.values())
    candidates = _ordered(pool)
    if due != len(pool) + 1 + len(pool) // 2:  # something has arrived since the last choice
        best = await env.choose(interim(selector), candidates)
    best = await chosen(env, selector, best, candidates)
    return Result(problem.id, best, candidates)


def _ordered(pool: dict[int, Candidate]) -> tuple[Candidate, ...]:
    return tuple(pool[number] for number in sorted(pool))
