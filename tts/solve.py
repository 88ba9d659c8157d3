"""Solve one problem, or many side by side, and always come back with the best answer so far.

A budget that runs out, or a deadline that passes, is not an error: the result then holds the best
published candidate and names the limit. A fault is an error, never an answer: `solve` raises it,
`solve_all` yields a result with status `failed` and goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sized
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypedDict, Unpack

from tts._environment import DRAFT_HINT, Environment
from tts._metering import Account
from tts._pairing import check_pair, check_prompt
from tts._structured import check_structured
from tts.budget.allocation import SharesPot, nothing_to_share
from tts.budget.desk import Desk
from tts.budget.fixed import Fixed
from tts.budget.limits import TOTAL, check_prices, check_scores, check_together
from tts.budget.pot import LEASED, Budget, Pot, cost_of
from tts.errors import BudgetExhausted, CapabilityMissing, ConfigError
from tts.protocols import (
    AnswerFormat,
    Backend,
    ChecksModel,
    ChecksStructure,
    Chooses,
    Controller,
    ReadsTop,
    Selector,
    Startable,
    Steers,
    Stepwise,
    Strategy,
    Verifier,
    Watcher,
)
from tts.tasks.answers import MathAnswers
from tts.types import (
    Candidate,
    Capability,
    Done,
    Event,
    Problem,
    Request,
    Result,
    Sampling,
    Status,
    Structure,
    Trajectory,
    Usage,
)
from tts.watching import Setting, Thinking

_NOTHING = Usage()


class Options(TypedDict, total=False):
    """What `solve` and `solve_all` take besides problem, strategy and backend; see `Setup`."""

    verifier: Verifier | None
    verifier_backend: Backend | None
    draft: Backend | None
    budget: Budget | None
    controller: Controller
    answers: AnswerFormat
    sampling: Sampling
    max_tokens: int
    seed: int
    on_event: Callable[[Event], None] | None
    watchers: tuple[Watcher, ...]
    thinking: Thinking
    structure: Structure | None


@dataclass(frozen=True)
class Setup:
    """How problems are solved.

    Attributes:
        strategy: Decides what to generate.
        backend: Decodes.
        verifier: Says how good it looks; None if the strategy needs none. Started with the backend
            if it has a model of its own, and not closed.
        verifier_backend: The model that the verifier may ask; the policy's by default.
        draft: The draft model, a smaller one that writes steps on trial, for strategies that want
            one. Started with the backend, and not closed.
        budget: Limits for each problem.
        controller: Decides how many samples a problem gets.
        answers: How answers are written; mathematics in a box or as the last number by default.
        sampling: How tokens are drawn.
        max_tokens: Cap on the tokens of one answer, at least 1.
        seed: Of the run; every draw derives from it.
        on_event: Called with each event as it happens, in the event loop; must be quick.
        watchers: Watch every chain while it is thought, whoever of policy and draft model writes,
            and may change its course; their questions go to who writes or to `verifier_backend`.
        thinking: How the model marks its thinking part, for the watchers.
        structure: What answers must look like, unless a problem has a structure of its own; for
            strategies that draw them whole.
    """

    strategy: Strategy
    backend: Backend
    verifier: Verifier | None = None
    verifier_backend: Backend | None = None
    draft: Backend | None = None
    budget: Budget | None = None
    controller: Controller = Fixed()
    answers: AnswerFormat = MathAnswers()
    sampling: Sampling = Sampling()
    max_tokens: int = 1024
    seed: int = 0
    on_event: Callable[[Event], None] | None = None
    watchers: tuple[Watcher, ...] = ()
    thinking: Thinking = Thinking()
    structure: Structure | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ConfigError(f"max_tokens is {self.max_tokens}; it must be at least 1.")
        self._check_capabilities()
        self._check_model()
        if self.draft is not None:
            check_pair(self.backend, self.draft, self.thinking)
        self._check_watchers()
        if self.structure is not None:
            self.check_structure(self.structure)
        check_scores(self.controller, self.strategy)
        if self.budget is not None:
            self._check_limits(self.budget, "budget")

    def check(self, problem: Problem) -> None:
        """Refuse a problem that cannot be solved like this.

        Raises:
            ConfigError: Its prompt means something to one of the two models, not to the other; or
                its answers are to have a structure that cannot be held.
        """
        if self.draft is not None:
            check_prompt(problem, self.backend, self.draft)
        if problem.structure is not None:
            self.check_structure(problem.structure)

    def check_structure(self, structure: Structure) -> None:
        """Refuse a structure of answers that could not be held.

        Raises:
            CapabilityMissing: The backend has no grammars.
            ConfigError: Answers are not drawn whole, or the structure cannot be used.
        """
        self.check_structured()
        if isinstance(self.backend, ChecksStructure):
            self.backend.check_structure(structure)

    def check_structured(self) -> None:
        """Refuse structured answers, whatever their structure is.

        Raises:
            CapabilityMissing: The backend has no grammars.
            ConfigError: Answers are not drawn whole.
        """
        landing = self.budget.landing_tokens if self.budget else 0
        check_structured(self.strategy, self.backend, self.watchers, landing)

    @cached_property
    def logprobs(self) -> int | None:
        """What verifier and selector read of each token, see `Request.logprobs`."""
        judges: list[Verifier | Selector] = [self.verifier] if self.verifier is not None else []
        if isinstance(self.strategy, Chooses):
            judges.append(self.strategy.selector)
        readers = [judge for judge in judges if Capability.LOGPROBS in judge.requires]
        wanted = [judge.top if isinstance(judge, ReadsTop) else 0 for judge in readers]
        return max(wanted, default=None)

    async def start(self) -> None:
        """Start the backends, and a verifier with a model of its own, all at the same time.

        Safe to call again. Nothing is closed here, not even if one of them fails: that is for
        whoever made them. The others' starts are cancelled then, and have ended when this raises.

        Raises:
            BackendError: One of them did not come up.
        """
        parts: list[Backend | Startable] = [self.backend]
        if self.verifier_backend is not None:
            parts.append(self.verifier_backend)
        if self.draft is not None:
            parts.append(self.draft)
        if self.verifier is not None and isinstance(self.verifier, Startable):
            parts.append(self.verifier)
        starts = [asyncio.create_task(part.start()) for part in parts]
        try:
            await asyncio.gather(*starts)
        finally:
            for task in starts:
                task.cancel()
            await asyncio.gather(*starts, return_exceptions=True)

    def _check_capabilities(self) -> None:
        offered = set(self.backend.capabilities)
        if self.verifier:
            offered.add(Capability.VERIFIER)
            if self.verifier.partial:
                offered.add(Capability.PARTIAL_SCORES)
            self._refuse(self.verifier, self.verifier.requires - offered)
        if self.draft is not None and Capability.CONTINUATION in self.draft.capabilities:
            offered.add(Capability.DRAFT)
            if Capability.LOGPROBS in self.draft.capabilities:
                offered.add(Capability.DRAFT_LOGPROBS)
        self._refuse(self.strategy, self.strategy.requires - offered)
        if isinstance(self.strategy, Chooses):
            self._refuse(self.strategy.selector, self.strategy.selector.requires - offered)

    def _check_model(self) -> None:
        weights = self.backend.identity().get("weights")
        parts: tuple[object, ...] = (self.strategy, self.verifier)
        for part in parts:
            if isinstance(part, ChecksModel):
                part.check(self.backend.model, weights if isinstance(weights, str) else None)

    def _check_watchers(self) -> None:
        setting = Setting(self.thinking, "", self.max_tokens)
        for watcher in self.watchers:
            needed = watcher.requires | {Capability.CONTINUATION}
            self._refuse(watcher, needed - self.backend.capabilities)
            if self.draft is not None:
                self._refuse(watcher, needed - self.draft.capabilities, self.draft)
            wish = watcher.pause(watcher.begin(setting))  # says what it cannot do with such a model
            if wish.steering is not None and isinstance(self.backend, Steers):
                asked = Request(Problem("?", "?"), Trajectory.root(), steering=wish.steering)
                self.backend.steering(asked)

    def check_total(self, total: Budget | None) -> None:
        """Refuse limits for all problems together that cannot be meant, or that are missing.

        Raises:
            ConfigError: One problem may spend more than all, a price is missing, not even one first
                step can be paid, or the controller divides what nothing limits.
        """
        if total is None:
            if isinstance(self.controller, SharesPot):
                raise nothing_to_share()
            return
        check_together(total, self.budget)
        self._check_limits(total, TOTAL)

    def _check_limits(self, budget: Budget, name: str) -> None:
        parts = (self.backend, self.verifier_backend, self.draft)
        check_prices(budget, name, [part.model for part in parts if part is not None])
        if not isinstance(self.strategy, Stepwise):
            return
        least = self.strategy.first_step
        for limit in LEASED:
            amount = getattr(budget, limit)
            if amount is not None and amount < cost_of(least, limit):
                raise ConfigError(
                    f"{name}.{limit} is {amount:g}, and the first step of"
                    f" {type(self.strategy).__name__} takes at least {cost_of(least, limit):g}.",
                    hint="Raise the budget, or make the search narrower.",
                )

    def _refuse(
        self,
        who: Strategy | Verifier | Selector | Watcher,
        missing: frozenset[Capability],
        backend: Backend | None = None,
    ) -> None:
        if not missing:
            return
        first, model = min(missing), (backend or self.backend).model
        if first in (Capability.DRAFT, Capability.DRAFT_LOGPROBS):
            raise _no_draft(type(who).__name__, self.draft, first)
        if self.verifier is None and first in (Capability.VERIFIER, Capability.PARTIAL_SCORES):
            raise CapabilityMissing(
                f"{type(who).__name__} needs a verifier and got none.",
                hint="Choose one, such as verifier=likelihood.",
            )
        if first == Capability.PARTIAL_SCORES:
            raise CapabilityMissing(
                f"{type(who).__name__} needs scores of unfinished answers;"
                f" {type(self.verifier).__name__} judges whole ones only."
            )
        raise CapabilityMissing(
            f"{type(who).__name__} needs '{first}'; the backend of {model.name} lacks it.",
            hint="Choose another backend, or a strategy that does without.",
        )


def _no_draft(who: str, draft: Backend | None, missing: Capability) -> CapabilityMissing:
    if draft is None:
        return CapabilityMissing(f"{who} needs a draft model and got none.", hint=DRAFT_HINT)
    lack = "continue an answer" if missing == Capability.DRAFT else "give log-probabilities"
    return CapabilityMissing(
        f"{who} needs a draft model that can {lack}; the backend of {draft.model.name} cannot.",
        hint="Run the draft model on the bundled engine, or on a vLLM server.",
    )


async def solve(
    problem: Problem | str, *, strategy: Strategy, backend: Backend, **options: Unpack[Options]
) -> Result:
    """Solve one problem.

    Cancelling the task aborts every stream; a deadline of the caller's (`asyncio.timeout`) works
    the same way, while `budget.seconds` ends the search and returns the best answer so far.

    Args:
        problem: What to solve; a string is asked as a one-turn conversation.
        strategy: Decides what to generate.
        backend: Decodes; started if it is not, and not closed.
        **options: See `Setup`.

    Returns:
        The best answer with its full cost. `result.answer` is None if nothing was found.

    Raises:
        ConfigError: An argument cannot be used; nothing was spent.
        BackendError: The backend failed for good, or did not start.
        VerifierError: The verifier failed, or broke its contract.
    """
    if isinstance(problem, str):
        problem = Problem.chat(problem, problem)
    setup = Setup(strategy=strategy, backend=backend, **options)
    await setup.start()
    pot = Pot(setup.budget or Budget())
    result = await _solve(problem, setup, pot, Desk(setup.controller, pot))
    if result.error is not None:
        raise result.error
    return result


async def solve_all(
    problems: Iterable[Problem] | AsyncIterable[Problem],
    *,
    strategy: Strategy,
    backend: Backend,
    concurrency: int = 64,
    total_budget: Budget | None = None,
    spent: Usage = _NOTHING,
    **options: Unpack[Options],
) -> AsyncGenerator[Result]:
    """Solve problems side by side; results come in the order in which they end.

    Leaving the iteration cancels what is still in flight. Use `contextlib.aclosing` to make that
    happen at once.

    Args:
        problems: Read as needed, never all at once. Ids must be unique
            among those of the same `repeat`.
        strategy: Decides what to generate.
        backend: Decodes; started if it is not, and not closed.
        concurrency: Most problems in flight, at least 1.
        total_budget: Limits for all problems together, beside `budget` for each.
        spent: What of `total_budget` was spent before, its seconds included.
        **options: See `Setup`.

    Yields:
        One result a problem; one with status `failed` where a fault ended it.

    Raises:
        ConfigError: An argument cannot be used; nothing was spent.
    """
    if concurrency < 1:
        raise ConfigError(f"concurrency is {concurrency}; it must be at least 1.")
    setup = Setup(strategy=strategy, backend=backend, **options)
    setup.check_total(total_budget)
    await setup.start()
    total = Pot(total_budget, spent=spent, name=TOTAL) if total_budget else None
    coming = len(problems) if isinstance(problems, Sized) else None
    shared = Desk(setup.controller, total, shared=True, coming=coming) if total else None
    finished: asyncio.Queue[Result | None] = asyncio.Queue()
    slots = asyncio.Semaphore(concurrency)
    tasks: set[asyncio.Task[None]] = set()

    async def run(problem: Problem) -> None:
        pot = Pot(setup.budget or Budget(), parent=total)
        desk = shared or Desk(setup.controller, pot)
        finished.put_nowait(await _solve(problem, setup, pot, desk))

    async def feed() -> None:
        async with aclosing(_iterate(problems)) as source:
            # A slot first: who stops the source while all are taken is heard at once.
            while await slots.acquire():
                if (problem := await anext(source, None)) is None:
                    break
                task = asyncio.create_task(run(problem), name=f"solve {problem.id}")
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)

    feeder = asyncio.create_task(feed(), name="feed problems")
    feeder.add_done_callback(lambda _: finished.put_nowait(None))
    try:
        while (result := await finished.get()) is not None:
            slots.release()
            yield result
        await feeder
    finally:
        for task in (feeder, *tasks):
            task.cancel()
        await asyncio.gather(feeder, *tasks, return_exceptions=True)


async def _iterate(
    problems: Iterable[Problem] | AsyncIterable[Problem],
) -> AsyncGenerator[Problem]:
    if isinstance(problems, AsyncIterable):
        async for problem in problems:
            yield problem
    else:
        for problem in problems:
            yield problem


async def _solve(problem: Problem, setup: Setup, pot: Pot, desk: Desk) -> Result:
    """Run the strategy on one problem, and settle what came of it."""
    account = Account(problem.id, setup.on_event)
    env = Environment(
        problem=problem,
        pot=pot,
        account=account,
        desk=desk,
        policy=setup.backend,
        judge=setup.verifier_backend or setup.backend,
        drafter=setup.draft,
        verifier=setup.verifier,
        answers=setup.answers,
        sampling=setup.sampling,
        max_tokens=setup.max_tokens,
        seed=setup.seed,
        logprobs=setup.logprobs,
        cap=setup.max_tokens,
        watchers=setup.watchers,
        thinking=setup.thinking,
        structure=setup.structure,
    )
    started = time.monotonic()
    desk.enter()
    error: Exception | None = None
    result = Result(problem.id, None)
    try:
        result = await _attempt(problem, setup, env)
        if pot.budget.landing_tokens and account.limit and not (result.answer or _found(account)):
            await env.land()
    except Exception as fault:  # a fault of this problem must not end the others
        error = fault
    finally:
        desk.leave()
    status: Status = "failed" if error else "exhausted" if account.limit else "done"
    candidates = result.candidates
    clocks = [c.trajectory.clock for c in candidates] or [leaf.clock for leaf in account.leaves]
    final = replace(
        result,
        repeat=problem.repeat,
        best=None if error else _better(result.best, account.best),
        usage=replace(
            account.usage,
            seconds=time.monotonic() - started,
            sequential_tokens=max(clocks, default=0),
        ),
        tree=account.tree,
        status=status,
        limit=account.limit,
        decisions=tuple(account.decisions),
        error=error,
        details={**result.details, "watching": account.watched} if account.log else result.details,
    )
    if setup.on_event:
        setup.on_event(Done(problem.id, final))
    return final


async def _attempt(problem: Problem, setup: Setup, env: Environment) -> Result:
    """Run the strategy until it ends, or the budget or its deadline does."""
    setup.check(problem)
    seconds = env.pot.remaining("seconds")
    deadline = asyncio.timeout(seconds if seconds < float("inf") else None)
    try:
        async with deadline:
            return await setup.strategy(problem, env)
    except TimeoutError:
        if not deadline.expired():
            raise
        env.account.limit = env.pot.scarcest("seconds")
    except BudgetExhausted as dry:
        env.account.limit = env.account.limit or dry.limit
    return Result(problem.id, None)


def _found(account: Account) -> bool:
    return account.best is not None and account.best.answer is not None


def _better(chosen: Candidate | None, published: Candidate | None) -> Candidate | None:
    """The strategy's choice, unless only what was published has an answer."""
    return chosen if chosen and (chosen.answer or not published) else published
