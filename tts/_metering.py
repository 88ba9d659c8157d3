"""The metered backend: every request takes a lease before it starts and settles it at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

from tts.budget.pot import Lease, Pot
from tts.errors import (
    BackendError,
    BudgetExhausted,
    ConfigError,
    ContextTooLong,
    EngineDead,
    EngineStartFailed,
    ReplayMiss,
)
from tts.protocols import Backend, KnowsEnds, KnowsWords, Stream
from tts.types import (
    Candidate,
    Capability,
    Event,
    Grant,
    ModelInfo,
    Problem,
    Published,
    Request,
    Score,
    Spent,
    Stop,
    Trajectory,
    Usage,
)


@dataclass(slots=True, eq=False)
class Account:
    """What one problem has cost and found so far, shared by all environments split from it."""

    problem_id: str
    emit: Callable[[Event], None] | None
    usage: Usage = Usage()
    leaves: list[Trajectory] = field(default_factory=list)
    scores: dict[Trajectory, Score] = field(default_factory=dict)  # by the node itself
    memory: dict[Hashable, Any] = field(default_factory=dict)  # the verifiers'
    decisions: list[Grant | Stop] = field(default_factory=list)
    best: Candidate | None = None
    log: list[dict[str, Any]] = field(default_factory=list)  # what watchers have done
    limit: str = ""  # the first limit that refused or shortened a request

    def pay(self, usage: Usage) -> None:
        """Book a cost and tell the listener."""
        self.usage = self.usage + usage
        if self.emit:
            self.emit(Spent(self.problem_id, usage))

    def publish(self, candidate: Candidate) -> None:
        """Keep the best answer so far; one without an answer never replaces one with."""
        if candidate.answer or not (self.best and self.best.answer):
            self.best = candidate
            if self.emit:
                self.emit(Published(self.problem_id, candidate))

    @property
    def tree(self) -> tuple[Trajectory, ...]:
        """All that was written, with what the verifier said of it."""
        scores = self.scores
        return tuple(n.scored(scores[n]) if n in scores else n for n in self.leaves)

    @property
    def watched(self) -> list[dict[str, Any]]:
        """What watchers have done, chain by chain, in an order that no clock decides."""
        return sorted(self.log, key=lambda entry: str(entry["chain"]))

    async def lease(self, pot: Pot, cost: Callable[[int], Usage], want: int, **how: bool) -> Lease:
        """Take a lease, and remember which limit refused or shortened it."""
        try:
            lease = await pot.lease(cost, want, **how)
        except BudgetExhausted as error:
            self.limit = self.limit or error.limit
            raise
        if lease.tokens < want:
            self.limit = self.limit or pot.tightest()
        return lease


@dataclass(frozen=True, slots=True)
class MeteredBackend:
    """A backend whose requests are paid from a pot.

    Args:
        inner: The backend that does the work.
        pot: Pays.
        account: Books.
        verifying: Whether a verifier asks: tokens are charged as its own, and requests marked.
        drafting: Whether it is the draft model: its tokens are counted apart as well.
        landing: Whether the pot's landing reserve may be used.
    """

    inner: Backend
    pot: Pot
    account: Account
    verifying: bool = False
    landing: bool = False
    drafting: bool = False

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Those of the inner backend."""
        return self.inner.capabilities

    @property
    def model(self) -> ModelInfo:
        """That of the inner backend."""
        return self.inner.model

    def identity(self) -> Mapping[str, Any]:
        """That of the inner backend."""
        return self.inner.identity()

    def prompt_tokens(self, problem: Problem, trajectory: Trajectory) -> int:
        """As the inner backend counts them."""
        return self.inner.prompt_tokens(problem, trajectory)

    def ends(self, request: Request, tokens: Sequence[int]) -> Sequence[int]:
        """Where the text ends after each of some tokens, in characters; empty if unknown."""
        known = isinstance(self.inner, KnowsEnds)
        return self.inner.ends(request, tokens) if known else ()  # type: ignore[attr-defined]

    def word(self, token: int) -> str:
        """The text of a token; empty if it is not known."""
        return self.inner.word(token) if isinstance(self.inner, KnowsWords) else ""

    def is_token(self, text: str) -> bool | None:
        """Whether a text is one token; None if that is not known."""
        return self.inner.is_token(text) if isinstance(self.inner, KnowsWords) else None

    def open(self, request: Request) -> _MeteredStream:
        """Wait for a lease, then open the inner stream under it."""
        return _MeteredStream(self, request)

    async def start(self) -> None:
        """Start the inner backend."""
        await self.inner.start()

    async def aclose(self) -> None:
        """Do nothing: the inner backend belongs to whoever made it."""

    def charge(self, usage: Usage) -> Usage:
        """The cost of a request, as policy, as draft model or as verifier."""
        if self.verifying:
            return usage.as_verifier()
        return replace(usage, draft_tokens=usage.completion_tokens) if self.drafting else usage


class _MeteredStream:
    """The block around one metered decode."""

    __slots__ = ("_block", "_lease", "_meter", "_request", "_stream")

    def __init__(self, meter: MeteredBackend, request: Request) -> None:
        self._meter = meter
        self._request = request

    async def __aenter__(self) -> Stream:
        meter, request = self._meter, self._request
        model = meter.inner.model
        prompt = meter.inner.prompt_tokens(request.problem, request.trajectory)
        room = model.context - prompt
        if room < 1:
            raise ContextTooLong(
                f"Problem {request.problem.id!r}: prompt and partial answer have {prompt} tokens,"
                f" and the context of {model.name} holds {model.context}.",
                hint="Shorten the prompt, or raise model.max_model_len.",
            )

        def cost(tokens: int) -> Usage:
            return meter.charge(model.usage(prompt, 0, tokens))

        want = min(request.max_tokens, room)
        self._lease = await meter.account.lease(meter.pot, cost, want, landing=meter.landing)
        try:
            if (self._lease.tokens, meter.verifying) != (request.max_tokens, request.verifying):
                request = replace(request, max_tokens=self._lease.tokens, verifying=meter.verifying)
            self._block = meter.inner.open(request)
            self._stream = await self._block.__aenter__()
        except (ConfigError, EngineDead, EngineStartFailed, ReplayMiss, asyncio.CancelledError):
            self._lease.settle(Usage())  # nothing was sent, or nothing that goes on
            raise
        except BaseException:
            self._settle(None)
            raise
        return self._stream

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._block.__aexit__(kind, error, trace)
        except asyncio.CancelledError:
            # The caller's time is up; the stream has been left all the same.
            self._settle(self._stream.usage)
            self._keep()
            raise
        except BaseException:
            self._settle(None)
            raise
        # What a failed backend has spent is unknown: the whole lease is charged.
        self._settle(None if isinstance(error, BackendError) else self._stream.usage)
        self._keep()

    def _keep(self) -> None:
        """What was written belongs to the tree, unless a judge has written it."""
        if not self._meter.verifying:
            self._meter.account.leaves.append(self._stream.trajectory)

    def _settle(self, usage: Usage | None) -> None:
        cost = self._lease.bound if usage is None else self._meter.charge(usage)
        self._lease.settle(cost)
        self._meter.account.pay(cost)
