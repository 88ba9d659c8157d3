"""Contract tests for backends, verifiers and strategies; anyone can run them on their own.

Each check raises `ContractError` with one sentence that names the broken promise. They need no
test framework: `await check_strategy(MyStrategy())`.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import AsyncIterator, Hashable, Mapping, MutableMapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Unpack

from tts._watcher_contract import check_watcher as check_watcher
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.budget.pot import LEASED, Budget, cost_of
from tts.errors import BudgetExhausted, ConfigError, ContractError, TTSError
from tts.protocols import (
    ArrivalOrdered,
    Backend,
    Charge,
    Startable,
    Stepwise,
    Strategy,
    Verifier,
    VerifierContext,
)
from tts.seeds import derive
from tts.solve import Options, solve, solve_all
from tts.types import (
    Candidate,
    Capability,
    Event,
    ModelInfo,
    Problem,
    Published,
    Request,
    Result,
    Score,
    Spent,
    Trajectory,
    Usage,
)


def _require(kept: bool, promise: str) -> None:
    if not kept:
        raise ContractError(promise)


# --- backends ---------------------------------------------------------------------------------


async def check_backend(backend: Backend, problem: Problem, *, max_tokens: int = 24) -> None:
    """Check a started backend against the promises of `tts.protocols.Backend`.

    Args:
        backend: To be checked; must be started, and able to answer `problem`.
        problem: Any problem of the backend's kind.
        max_tokens: Length of the decodes; more than 4.

    Raises:
        ContractError: A promise is broken; the message says which.
    """
    _check_identity(backend)
    request = Request(problem, Trajectory.root(), max_tokens=max_tokens, seed=_seed(backend, 1))
    whole = await _check_decode(backend, request)
    watched = await _check_decode(backend, replace(request, watch=True))
    if Capability.SEEDS in backend.capabilities:
        _require(whole.text == watched.text, "The same seed gives the same text, watched or not.")
    await _check_leaving(backend, replace(request, watch=True))
    await _check_cancelling(backend, request)
    if Capability.LOGPROBS in backend.capabilities:
        await _check_logprobs(backend, request)
    if Capability.CONTINUATION in backend.capabilities:
        await _check_continuation(backend, request)


def _check_identity(part: Backend | Verifier) -> None:
    identity = part.identity()
    try:
        same = json.loads(json.dumps(identity)) == identity == part.identity()
    except TypeError:
        same = False
    _require(same, "`identity` is of JSON types, and stays the same.")


def _seed(backend: Backend, seed: int) -> int | None:
    return seed if Capability.SEEDS in backend.capabilities else None


async def _check_decode(backend: Backend, request: Request) -> Trajectory:
    chunks = []
    async with backend.open(request) as stream:
        async for chunk in stream:
            chunks.append(chunk)
    node, usage = stream.trajectory, stream.usage
    text = "".join(chunk.text for chunk in chunks)
    prefix = request.trajectory.text
    _require(bool(chunks), "A decode delivers at least one chunk.")
    _require(chunks[-1].finish is not None, "The last chunk carries the finish reason.")
    _require(all(c.finish is None for c in chunks[:-1]), "Only the last chunk is finished.")
    _require(node.finish == chunks[-1].finish, "Trajectory and last chunk agree on the finish.")
    _require(node.text == prefix + text, "The trajectory's text is the prefix and the chunks.")
    _require(node.parent is request.trajectory, "The new node's parent is the request's prefix.")
    _require(usage.completion_tokens <= request.max_tokens, "`max_tokens` is a hard cap.")
    _require(usage.completion_tokens >= 1, "A decode costs at least one token.")
    _require(usage.calls == 1, "A request is one call.")
    _require(
        usage.prompt_tokens <= backend.prompt_tokens(request.problem, request.trajectory),
        "`prompt_tokens` is an upper bound of the prompt's cost.",
    )
    _require(0 <= usage.cached_tokens <= usage.prompt_tokens, "Cached tokens are prompt tokens.")
    _require(
        node.clock == request.trajectory.clock + usage.completion_tokens,
        "The clock advances by the generated tokens.",
    )
    if node.finish == "length":
        _require(usage.completion_tokens == request.max_tokens, "`length` means the cap was hit.")
    return node


async def _check_leaving(backend: Backend, request: Request) -> None:
    async with backend.open(request) as stream:
        async for _ in stream:
            break
    node, usage = stream.trajectory, stream.usage
    _require(node.finish is not None, "A stream that was left has a finish reason.")
    _require(usage.completion_tokens <= request.max_tokens, "A left stream stays under its cap.")
    _require(
        node.clock == request.trajectory.clock + usage.completion_tokens,
        "A left stream's clock counts all that was generated.",
    )


async def _check_cancelling(backend: Backend, request: Request) -> None:
    async def decode() -> None:
        async with backend.open(request) as stream:
            async for _ in stream:
                pass

    task = asyncio.create_task(decode())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.wait_for(task, timeout=30)
    await _check_decode(backend, request)  # still works afterwards


async def _check_logprobs(backend: Backend, request: Request) -> None:
    node = await _check_decode(backend, replace(request, logprobs=0))
    values = node.logprobs
    _require(values is not None, "Log-probabilities come when they are asked for.")
    told: list[float] = []
    async with backend.open(replace(request, logprobs=0, watch=True)) as stream:
        async for chunk in stream:
            told.extend(chunk.logprobs or ())
    whole = stream.trajectory.logprobs
    _require(tuple(told) == whole, "Chunks bring the log-probabilities of what they add.")
    _require(all(v <= 1e-6 for v in values or ()), "A log-probability is not above 0.")


async def _check_continuation(backend: Backend, request: Request) -> None:
    greedy = replace(request, sampling=request.sampling.greedy(), max_tokens=4)
    first = await _check_decode(backend, greedy)
    if first.finish != "length":
        return  # the whole answer is shorter than the piece
    second = await _check_decode(backend, replace(greedy, trajectory=first))
    whole = await _check_decode(backend, replace(greedy, max_tokens=8))
    _require(
        second.text == whole.text, "A greedy answer cut in two equals the same answer in one piece."
    )
    _require(second.clock == second.depth * 4 or second.finish != "length", "Clocks add up.")


# --- verifiers --------------------------------------------------------------------------------


async def check_verifier(
    verifier: Verifier,
    problem: Problem,
    trajectories: Sequence[Trajectory],
    ctx: VerifierContext | None = None,
) -> None:
    """Check a verifier against the promises of `tts.protocols.Verifier`.

    What it owes through `ctx.work` is compared with its bounds. Work that it does outside of any
    block of `ctx.work` cannot be seen from here.

    Args:
        verifier: To be checked; started if it must be, and not closed.
        problem: What the trajectories answer.
        trajectories: At least two, different ones.
        ctx: What the verifier may touch; by default a simulated model, which costs nobody.

    Raises:
        ContractError: A promise is broken; the message says which.
    """
    _check_identity(verifier)
    if isinstance(verifier, Startable):
        await verifier.start()
    counting = _Counting(ctx or _Free(World().backend()))
    _check_bounds(verifier, problem, counting)
    await _check_scores(verifier, problem, trajectories, counting)
    for trajectory in trajectories:
        await _check_cost(verifier, problem, trajectory, counting)


def _check_bounds(verifier: Verifier, problem: Problem, ctx: VerifierContext) -> None:
    bounds = [verifier.bound(problem, tokens, ctx) for tokens in (1, 10, 100, 1000)]
    _require(all(b.verifier_calls == 1 for b in bounds), "A judgement is one verifier call.")
    _require(
        all(not _beyond(low, high) for low, high in pairwise(bounds)),
        "`bound` never falls with the tokens.",
    )


async def _check_cost(
    verifier: Verifier, problem: Problem, trajectory: Trajectory, ctx: _Counting
) -> None:
    """A judgement costs no more than is said of an answer with a token a byte, and then some."""
    before = ctx.paid
    await verifier.score(problem, [trajectory], ctx)
    asked = problem.prompt + "".join(message.content for message in problem.messages)
    size = len((asked + trajectory.text).encode())
    written = sum(len(segment.tokens or ()) for segment in trajectory.segments())
    excess = _beyond(ctx.paid, before + verifier.bound(problem, size + written, ctx))
    _require(not excess, f"A judgement costs no more {excess} than `bound` says.")


async def _check_scores(
    verifier: Verifier, problem: Problem, trajectories: Sequence[Trajectory], ctx: _Counting
) -> None:
    scores = await verifier.score(problem, trajectories, ctx)
    _require(ctx.open == 0, "All blocks of `work` are left when the scores are there.")
    _require(len(scores) == len(trajectories), "There is one score a trajectory.")
    _require(all(isinstance(s, Score) for s in scores), "A score is a `Score`.")
    _require(len({s.scale for s in scores}) == 1, "All scores are on one scale.")
    _require(all(math.isfinite(s.raw) for s in scores), "A score is a finite number.")
    backwards = await verifier.score(problem, list(reversed(trajectories)), ctx)
    _require(
        [s.raw for s in reversed(backwards)] == [s.raw for s in scores],
        "Each trajectory is judged by itself: the order changes nothing.",
    )
    alone = [(await verifier.score(problem, [t], ctx))[0].raw for t in trajectories]
    _require(alone == [s.raw for s in scores], "Company changes no score.")
    _require(await verifier.score(problem, [], ctx) == [], "No trajectories, no scores.")


def _beyond(usage: Usage, bound: Usage) -> str:
    """The first component in which a cost exceeds a bound; empty if none does."""
    most = bound.as_dict()
    return next((k for k, v in usage.as_dict().items() if v > most[k] * (1 + 1e-9)), "")


@dataclass
class _Counting:
    """A context that looks at what a verifier does with another one.

    Attributes:
        inner: The other one.
        paid: What was owed through `work`.
        open: Blocks of `work` that are open.
    """

    inner: VerifierContext
    paid: Usage = Usage()
    open: int = 0

    @property
    def backend(self) -> Backend:
        """That of the other context."""
        return self.inner.backend

    @property
    def memory(self) -> MutableMapping[Hashable, Any]:
        """That of the other context."""
        return self.inner.memory

    @asynccontextmanager
    async def work(self, bound: Usage) -> AsyncIterator[Charge]:
        """A block that is counted, with what it owes."""
        _require(_in_verifier_terms(bound), "A bound of `work` is in tokens, FLOPs and dollars.")
        async with self.inner.work(bound) as inner:
            charge = _Charge(inner, bound)
            self.open += 1
            try:
                yield charge
            finally:
                self.open -= 1
                self.paid += charge.leave()

    def rng(self, *names: Hashable) -> random.Random:
        """That of the other context."""
        return self.inner.rng(*names)


def _in_verifier_terms(usage: Usage) -> bool:
    return usage == Usage(verifier_tokens=usage.verifier_tokens, flops=usage.flops, usd=usage.usd)


@dataclass
class _Charge:
    """What is owed for one block of work: the bound until it is settled."""

    inner: Charge
    bound: Usage
    settled: Usage | None = None
    left: bool = False

    def settle(self, usage: Usage) -> None:
        """Look at what is owed, and pass it on."""
        _require(not self.left, "Work is settled within its block.")
        _require(self.settled is None, "Work is settled once.")
        _require(_in_verifier_terms(usage), "Work is settled in tokens, FLOPs and dollars.")
        excess = _beyond(usage, self.bound)
        _require(not excess, f"Work costs no more {excess} than its block was leased for.")
        self.settled = usage
        self.inner.settle(usage)

    def leave(self) -> Usage:
        """The block is left; what it owes."""
        self.left = True
        return self.bound if self.settled is None else self.settled


@dataclass(frozen=True)
class _Free:
    """A context in which nothing is paid for: a model to ask, and chance."""

    backend: Backend
    memory: dict[Hashable, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def work(self, bound: Usage) -> AsyncIterator[Charge]:
        """A block for which nobody asks anything."""
        yield self

    def settle(self, usage: Usage) -> None:
        """Let it go."""

    def rng(self, *names: Hashable) -> random.Random:
        """A random stream of its own for `names`."""
        return random.Random(derive(0, *names))


# --- strategies -------------------------------------------------------------------------------

_PROBLEMS = tuple(Problem(f"contract-{i}", prompt=f"problem {i}") for i in range(6))
_MODEL = ModelInfo(
    "simulated", active_params=1000, n_layers=2, attention_width=8, usd_per_completion_token=1e-3
)


@dataclass
class World:
    """A simulated world for strategies: answers in steps, a verifier, and everything counted.

    Attributes:
        jitter: Seed of the latencies; the answers do not depend on it.
    """

    jitter: int = 0
    clock: VirtualClock = field(default_factory=VirtualClock)

    def backend(self) -> SimulatedBackend:
        """A backend of this world."""
        return SimulatedBackend(self._simulate, _MODEL, self.clock)

    def _simulate(self, problem: Problem, node: Trajectory, seed: int) -> Step:
        rng = random.Random(derive(seed, problem.id, len(node.text)))
        latency = random.Random(derive(self.jitter, problem.id, node.key, seed)).random()
        tokens = rng.randint(5, 15)
        if node.text.count("\n\n") >= 2:
            answer = rng.choices(range(4), (5, 3, 2, 1))[0]
            return Step(f"\\boxed{{{answer}}}", tokens, True, latency, -rng.random())
        return Step(f"step {rng.randint(0, 99)}\n\n", tokens, False, latency, -rng.random())


@dataclass(frozen=True)
class LengthVerifier:
    """A verifier that knows nothing of the world: a fixed pseudo-random score a text."""

    requires: frozenset[Capability] = frozenset()
    partial: bool = True

    def identity(self) -> Mapping[str, Any]:
        """Its name."""
        return {"verifier": "length"}

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """A call, and nothing else."""
        return Usage(verifier_calls=1)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """A probability that depends on the text alone."""
        return [
            Score(random.Random(derive(0, problem.id, t.text)).random(), "probability")
            for t in trajectories
        ]


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
        result = await solve(_PROBLEMS[0], strategy=strategy, backend=backend, **arguments)
    except BudgetExhausted as error:
        raise ContractError("A budget that runs out is no error for the user.") from error
    spent = sum((e.usage for e in events if isinstance(e, Spent)), Usage())
    drafted = draft.generated if draft else 0
    generated = backend.generated + drafted
    _require(
        generated == result.usage.completion_tokens + result.usage.verifier_tokens
        or result.usage.verifier_tokens > 0,
        "Every token is generated through `env`: the backend counted"
        f" {generated}, the accounts {result.usage.completion_tokens}.",
    )
    _require(drafted == result.usage.draft_tokens, "What a draft model generates is counted apart.")
    _require(
        spent.completion_tokens == result.usage.completion_tokens, "Every cost is told as an event."
    )
    _require(
        not (backend.open_streams or (draft and draft.open_streams)), "No stream is left open."
    )
    published = [e.candidate for e in events if isinstance(e, Published)]
    if result.best is None:
        _require(not any(c.answer for c in published), "What was published is not lost.")
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
        _require(
            _summary(other) == _summary(free), "The same seed gives the same result in any order."
        )
    _require(free.answer is not None, "Without limits it finds an answer.")


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
        solve_all(_PROBLEMS, strategy=again, backend=backend, **arguments)
    ) as results:
        async for result in results:
            if result.error is not None:
                raise result.error
            together[result.problem_id] = result
    _require(
        _summary(together[_PROBLEMS[0].id]) == _summary(free),
        "Problems side by side do not change each other: no state on the strategy.",
    )
    _require(backend.open_streams == 0, "No stream is left open.")


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
        _require(spent <= amount * (1 + 1e-9), f"It stays within budget.{limit} ({spent:g}).")
        _require(
            result.limit in ("", limit) and result.status != "failed",
            f"A result that ran out of {limit} says so.",
        )


async def _check_refusal(strategy: Strategy, limit: str, budget: Budget, options: Options) -> None:
    try:
        await _run(strategy, World(), options, budget=budget)
    except ConfigError as error:
        _require(f"budget.{limit}" in str(error), "A budget that is too small is named.")
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

    backend = SimulatedBackend(simulate, _MODEL, Frozen())
    arguments: Options = {
        "verifier": LengthVerifier(),
        "draft": _draft(strategy, backend),
        "max_tokens": 100,
        **options,
    }
    running = asyncio.create_task(
        solve(_PROBLEMS[0], strategy=strategy, backend=backend, **arguments)
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
    _require(backend.open_streams == 0, "Cancelling leaves no stream open.")
