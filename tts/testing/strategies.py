"""The contract of strategies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Unpack

from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.budget.pot import LEASED, Budget, cost_of
from tts.errors import BudgetExhausted, ConfigError, ContractError, TTSError
from tts.protocols import (
    ArrivalOrdered,
    Stepwise,
    Strategy,
)
from tts.solve import Options, solve, solve_all
from tts.testing.promises import require
from tts.testing.worlds import MODEL, PROBLEMS, LengthVerifier, World
from tts.types import (
    Candidate,
    Capability,
    Event,
    Problem,
    Published,
    Result,
    Spent,
    Trajectory,
    Usage,
)


async def check_strategy(strategy: Strategy, **options: Unpack[Options]) -> None:
    """Check a strategy against the promises of `tts.protocols.Strategy`, on simulated backends.

    It must stay within every limit of a budget, spend only through its environment, give the same
    result whatever the order of completion, keep no state between problems, come back with its
    best published answer when it runs dry, and leave no stream open.

    Args:
        strategy: To be checked.
        **options: As for `tts.solve`; verifier, budget and seed are set here.

    Raises:
        ContractError: A promise is broken; the message says which.
    """
    free = await _run(strategy, World(), options)
    await _check_order(strategy, free, options)
    await _check_state(strategy, free, options)
    for limit in LEASED:
        await _check_limit(strategy, limit, cost_of(free.usage, limit), options)
    await _check_cancel(strategy, options)


async def _run(strategy: Strategy, world: World, options: Options, **changes: object) -> Result:
    """Solve the first contract problem, and compare the accounts with the backend's own count."""
    backend = world.backend()
    draft = _draft(strategy, world.backend())
    events: list[Event] = []
    arguments: Options = {
        "verifier": LengthVerifier(),
        "draft": draft,
        "max_tokens": 100,
        **options,
        **changes,  # type: ignore[typeddict-item]
        "on_event": events.append,
    }
    try:
        result = await solve(PROBLEMS[0], strategy=strategy, backend=backend, **arguments)
    except BudgetExhausted as error:
        raise ContractError("A budget that runs out is no error for the user.") from error
    spent = sum((e.usage for e in events if isinstance(e, Spent)), Usage())
    drafted = draft.generated if draft else 0
    generated = backend.generated + drafted
    require(
        generated == result.usage.completion_tokens + result.usage.verifier_tokens
        or result.usage.verifier_tokens > 0,
        "Every token is generated through `env`: the backend counted"
        f" {generated}, the accounts {result.usage.completion_tokens}.",
    )
    require(drafted == result.usage.draft_tokens, "What a draft model generates is counted apart.")
    require(
        spent.completion_tokens == result.usage.completion_tokens, "Every cost is told as an event."
    )
    require(not (backend.open_streams or (draft and draft.open_streams)), "No stream is left open.")
    published = [e.candidate for e in events if isinstance(e, Published)]
    if result.best is None:
        require(not any(c.answer for c in published), "What was published is not lost.")
    return result


def _draft(strategy: Strategy, backend: SimulatedBackend) -> SimulatedBackend | None:
    """A draft model, for a strategy that wants one."""
    return backend if Capability.DRAFT in strategy.requires else None


def _summary(result: Result) -> tuple[str | None, str, tuple[tuple[str, str | None], ...]]:
    candidates: Sequence[Candidate] = result.candidates
    return (
        result.answer,
        result.best.trajectory.text if result.best else "",
        tuple((c.trajectory.text, c.answer.key if c.answer else None) for c in candidates),
    )


async def _check_order(strategy: Strategy, free: Result, options: Options) -> None:
    again = strategy.replaying([free]) if isinstance(strategy, ArrivalOrdered) else strategy
    for jitter in (1, 2, 3):
        other = await _run(again, World(jitter), options)
        require(
            _summary(other) == _summary(free), "The same seed gives the same result in any order."
        )
    require(free.answer is not None, "Without limits it finds an answer.")


async def _check_state(strategy: Strategy, free: Result, options: Options) -> None:
    world = World(7)
    backend, draft = world.backend(), _draft(strategy, world.backend())
    arguments: Options = {
        "verifier": LengthVerifier(),
        "draft": draft,
        "max_tokens": 100,
        **options,
    }
    together: dict[str, Result] = {}
    again = strategy.replaying([free]) if isinstance(strategy, ArrivalOrdered) else strategy
    async with aclosing(
        solve_all(PROBLEMS, strategy=again, backend=backend, **arguments)
    ) as results:
        async for result in results:
            if result.error is not None:
                raise result.error
            together[result.problem_id] = result
    require(
        _summary(together[PROBLEMS[0].id]) == _summary(free),
        "Problems side by side do not change each other: no state on the strategy.",
    )
    require(backend.open_streams == 0, "No stream is left open.")


async def _check_limit(strategy: Strategy, limit: str, free: float, options: Options) -> None:
    for share in (0.9, 0.5, 0.2, 0.05):
        amount = free * share
        if limit not in ("flops", "usd"):
            amount = max(1, int(amount))
        if amount <= 0:
            continue
        budget = Budget.model_validate({limit: amount})
        if isinstance(strategy, Stepwise) and amount < cost_of(strategy.first_step, limit):
            await _check_refusal(strategy, limit, budget, options)
            continue
        result = await _run(strategy, World(), options, budget=budget)
        spent = cost_of(result.usage, limit)
        require(spent <= amount * (1 + 1e-9), f"It stays within budget.{limit} ({spent:g}).")
        require(
            result.limit in ("", limit) and result.status != "failed",
            f"A result that ran out of {limit} says so.",
        )


async def _check_refusal(strategy: Strategy, limit: str, budget: Budget, options: Options) -> None:
    try:
        await _run(strategy, World(), options, budget=budget)
    except ConfigError as error:
        require(f"budget.{limit}" in str(error), "A budget that is too small is named.")
    else:
        raise ContractError("A budget below `first_step` is refused.")


async def _check_cancel(strategy: Strategy, options: Options) -> None:
    started = asyncio.Event()

    def simulate(problem: Problem, node: Trajectory, seed: int) -> Step:
        started.set()
        return Step("thinking", 8, False, 1e9)

    class Frozen(VirtualClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.Event().wait()

    backend = SimulatedBackend(simulate, MODEL, Frozen())
    arguments: Options = {
        "verifier": LengthVerifier(),
        "draft": _draft(strategy, backend),
        "max_tokens": 100,
        **options,
    }
    running = asyncio.create_task(
        solve(PROBLEMS[0], strategy=strategy, backend=backend, **arguments)
    )
    await started.wait()
    running.cancel()
    try:
        await asyncio.wait_for(running, timeout=10)
    except asyncio.CancelledError:
        pass
    except (TTSError, TimeoutError) as error:
        raise ContractError("Cancelling ends a strategy at once.") from error
    else:
        raise ContractError("Cancellation passes through: it is not swallowed.")
    require(backend.open_streams == 0, "Cancelling leaves no stream open.")
