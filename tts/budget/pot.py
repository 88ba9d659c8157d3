"""Budgets, pots and leases: concurrent requests together never overspend.

A request takes a lease on its upper bound before it starts; the backend enforces the lease through
`max_tokens`; settling gives back what was not used. A newcomer that does not fit waits, first come
first served, as long as others hold leases that may come back; when nobody does, it gets what is
left (a shorter answer), or `BudgetExhausted`. So a small pot buys whole answers one after another,
not many halves side by side.

Nobody waits while holding a lease, so nobody waits for ever: who asks from within an open stream
is served at once, before the line, with what is not held, or gets `BudgetExhausted`. Whatever was
begun within the block of a lease counts as inside, other tasks included.

The order of grants does not depend on the order in which requests complete: a newcomer that holds
nothing is served in full exactly if the pot minus the true cost of all before it would have
sufficed.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tts.errors import BudgetExhausted
from tts.types import Usage

_SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18}
LEASED = ("completion_tokens", "total_tokens", "calls", "flops", "usd")
Limit = Literal["completion_tokens", "total_tokens", "calls", "flops", "usd", "seconds"]


def _amount(value: object) -> object:
    """Read amounts such as 2k, 1.5M or 3e12."""
    if isinstance(value, str) and value and value[-1].lower() in _SUFFIXES:
        try:
            return float(value[:-1].replace("_", "")) * _SUFFIXES[value[-1].lower()]
        except ValueError:
            return value
    return value


def _whole(value: object) -> object:
    value = _amount(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, BeforeValidator(_whole), Field(gt=0)]
Amount = Annotated[float, BeforeValidator(_amount), Field(gt=0, allow_inf_nan=False)]


class Budget(BaseModel):
    """Limits on what a problem (or a batch) may cost; None is unlimited.

    Amounts may be written with a suffix: `2k`, `1.5M`. Tokens, calls, FLOPs and dollars are hard;
    `seconds` ends the search with a grace of `GRACE_SECONDS` for aborting streams.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    completion_tokens: Count | None = Field(
        default=None, description="Tokens that the policy generates."
    )
    total_tokens: Count | None = Field(
        default=None,
        description="Prompt (cached included), completion and verifier tokens together.",
    )
    calls: Count | None = Field(
        default=None, description="Policy requests and verifier calls together."
    )
    flops: Amount | None = Field(default=None, description="Nominal floating-point operations.")
    seconds: Amount | None = Field(default=None, description="Wall-clock seconds from the start.")
    usd: Amount | None = Field(default=None, description="Dollars at list price, an upper bound.")
    landing_tokens: Annotated[int, BeforeValidator(_whole), Field(ge=0)] = Field(
        default=0,
        description="Part of completion_tokens kept back to close one answer when the rest is"
        " spent without any.",
    )

    @model_validator(mode="after")
    def _landing_is_a_part(self) -> Self:
        if self.landing_tokens and not (
            self.completion_tokens and self.landing_tokens < self.completion_tokens
        ):
            raise ValueError("landing_tokens is a part of completion_tokens and must be below it")
        return self


GRACE_SECONDS = 2.0


def cost_of(usage: Usage, limit: str) -> float:
    """The component of a cost that a limit of a `Budget` bounds."""
    if limit == "calls":
        return usage.calls + usage.verifier_calls
    if limit == "total_tokens":
        return usage.total_tokens
    return float(getattr(usage, limit))


@dataclass(slots=True, eq=False)
class Lease:
    """The right to spend up to `bound`. Settle it exactly once.

    Attributes:
        tokens: Completion tokens it covers.
    """

    tokens: int
    _cost: Callable[[int], Usage]
    _pot: Pot
    _open: bool = True

    @property
    def bound(self) -> Usage:
        """Upper bound of the cost."""
        return self._cost(self.tokens)

    def settle(self, usage: Usage | None) -> None:
        """Pay what was used and give back the rest; None pays all, where the truth is unknown.

        Raises:
            RuntimeError: The lease was settled before.
        """
        if not self._open:
            raise RuntimeError("a lease is settled once")
        self._open = False
        self._pot._settle(self, self.bound if usage is None else usage)

    def pot(self) -> Pot:
        """A pot with just what this lease covers; settle the lease with what it has spent."""
        limits = {limit for pot in self._pot._chain() for limit in pot._limits}
        bound = self.bound
        amounts = {limit: cost_of(bound, limit) for limit in limits}
        return Pot(Budget.model_validate({k: v for k, v in amounts.items() if v > 0}))


# What the running task holds, and what was held where it was begun; closed ones fall out.
_held: ContextVar[tuple[Lease, ...]] = ContextVar("leases", default=())


@dataclass(slots=True, eq=False)
class _Waiter:
    pot: Pot
    cost: Callable[[int], Usage]
    want: int
    least: int
    landing: bool
    patient: bool
    future: asyncio.Future[Lease] | None = None


@dataclass(slots=True, eq=False)
class Pot:
    """A budget being spent. Children (`split`) spend from their parents too.

    Args:
        budget: The limits.
        parent: A pot that must be able to pay as well.
        clock: Seconds, monotonic.
        spent: What has been spent before, its seconds included.
        name: Put before the name of a limit that runs out; empty for the budget of a problem.
    """

    budget: Budget
    parent: Pot | None = None
    clock: Callable[[], float] = time.monotonic
    spent: Usage = field(default=Usage())
    name: str = ""
    _held: dict[str, float] = field(default_factory=dict)
    _leases: int = 0
    _queue: deque[_Waiter] = field(default_factory=deque)
    _limits: dict[str, float] = field(default_factory=dict)
    _started: float = 0.0

    def __post_init__(self) -> None:
        self._started = self.clock() - self.spent.seconds
        for limit in LEASED:
            value = getattr(self.budget, limit)
            if value is not None:
                self._limits[limit] = float(value)
                self._held[limit] = 0.0

    def split(self, share: float) -> Pot:
        """A pot with at most `share` of what is left here; what it leaves stays here.

        Args:
            share: Above 0 and at most 1.

        Raises:
            ValueError: The share lies outside that range.
            BudgetExhausted: A share of nothing.
        """
        if not 0 < share <= 1:
            raise ValueError(f"a share lies above 0 and at most at 1, not at {share}")
        limits: dict[str, float | int] = {}
        for limit in (*LEASED, "seconds"):
            left = self.remaining(limit)
            if math.isinf(left):
                continue
            part = (
                left * share if limit in ("flops", "usd", "seconds") else math.floor(left * share)
            )
            if part <= 0:
                raise self._exhausted(limit)
            limits[limit] = part
        return Pot(Budget.model_validate(limits), parent=self, clock=self.clock)

    def remaining(self, limit: str) -> float:
        """What is neither spent nor held of a limit, here and in all parents; may be infinite."""
        return min(pot._left(limit) for pot in self._chain())

    def scarcest(self, limit: str) -> str:
        """The same limit by its full name, in the pot of the chain that has the least of it."""
        return min(self._chain(), key=lambda pot: pot._left(limit))._label(limit)

    def tightest(self) -> str:
        """The limit of which the smallest part is left, here or in a parent; empty if none."""
        parts = [
            (pot._free(limit, landing=True) / pot._limits[limit], pot._label(limit))
            for pot in self._chain()
            for limit in pot._limits
        ]
        return min(parts)[1] if parts else ""

    async def lease(
        self, cost: Callable[[int], Usage], want: int, *, least: int = 1, landing: bool = False
    ) -> Lease:
        """Take a lease, waiting in line where that can help.

        Args:
            cost: Upper bound of the cost of a request that generates a number of tokens;
                never falls with it.
            want: Completion tokens wanted, at least 0.
            least: Fewest completion tokens that are worth having; at most `want`.
            landing: Whether the landing reserve may be used.

        Raises:
            BudgetExhausted: Even `least` tokens cannot be paid, or not while the caller holds
                another lease.
        """
        lease = await self._take(
            _Waiter(self, cost, want, min(least, want), landing, not self.inside)
        )
        if self.limited:
            _held.set((*(other for other in _held.get() if other._open), lease))
        return lease

    @property
    def limited(self) -> bool:
        """Whether it, or one of its parents, can run dry."""
        return any(pot._limits for pot in self._chain())

    @property
    def inside(self) -> bool:
        """Whether the caller holds a lease of this pot, its parents or their other children."""
        return any(
            lease._open and lease._pot._chain()[-1] is self._chain()[-1] for lease in _held.get()
        )

    async def _take(self, waiter: _Waiter) -> Lease:
        """Wait in line, if that is needed and can help."""
        lease = self._place(waiter, renewal=not waiter.patient)
        if lease is not None:
            return lease
        future: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        waiter.future = future
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().settle(Usage())
            else:
                self._forget(waiter)
            raise

    def _chain(self) -> list[Pot]:
        pots: list[Pot] = []
        pot: Pot | None = self
        while pot is not None:
            pots.append(pot)
            pot = pot.parent
        return pots

    def _label(self, limit: str) -> str:
        return f"{self.name}.{limit}" if self.name else limit

    def _left(self, limit: str) -> float:
        """What is left here; the landing reserve is not."""
        if limit != "seconds":
            return self._free(limit, landing=False)
        if self.budget.seconds is None:
            return math.inf
        return self.budget.seconds - (self.clock() - self._started)

    def _free(self, limit: str, *, landing: bool) -> float:
        if limit not in self._limits:
            return math.inf
        free = self._limits[limit] - cost_of(self.spent, limit) - self._held[limit]
        if limit == "completion_tokens" and not landing:
            free -= self.budget.landing_tokens
        return free

    def _lacking(self, usage: Usage, landing: bool) -> str | None:
        """The first limit that cannot pay, or None."""
        for limit in self._limits:
            # Rounding of sums of floats must not refuse the last request of an exact budget.
            slack = 1e-9 * self._limits[limit] if limit in ("flops", "usd") else 0.0
            if cost_of(usage, limit) > self._free(limit, landing=landing) + slack:
                return limit
        if self.budget.seconds is not None and self.clock() - self._started > self.budget.seconds:
            return "seconds"
        return None

    def _place(self, waiter: _Waiter, *, renewal: bool) -> Lease | None:
        """Grant a lease, refuse it (raise), or put the waiter in line and return None."""
        chain, want = waiter.pot._chain(), waiter.want
        if not any(pot._limits or pot.budget.seconds or pot._queue for pot in chain):
            for pot in chain:  # nothing is limited: nothing to work out
                pot._leases += 1
            return Lease(want, waiter.cost, waiter.pot)
        bound = waiter.cost(want)
        for pot in chain:
            limit = pot._lacking(bound, waiter.landing)
            ahead = bool(pot._queue) and not renewal
            if limit is None and not ahead:
                continue
            if limit == "seconds":
                raise pot._exhausted("seconds")
            if waiter.patient and (pot._leases or ahead):
                pot._queue.appendleft(waiter) if renewal else pot._queue.append(waiter)
                return None
            # Nothing will come back to this pot, or not to one who waits: take what is left of it.
            fitting = pot._most(waiter, want)
            if fitting is None:
                raise pot._exhausted(limit or "completion_tokens", inside=not waiter.patient)
            want, bound = fitting, waiter.cost(fitting)
        for pot in chain:
            pot._leases += 1
            for limit in pot._limits:
                pot._held[limit] += cost_of(bound, limit)
        return Lease(want, waiter.cost, waiter.pot)

    def _most(self, waiter: _Waiter, want: int) -> int | None:
        """Most completion tokens from `least` to `want` that this pot can pay, by bisection."""
        low, high = waiter.least, want
        if low > high or self._lacking(waiter.cost(low), waiter.landing) is not None:
            return None
        while low < high:
            middle = (low + high + 1) // 2
            if self._lacking(waiter.cost(middle), waiter.landing) is None:
                low = middle
            else:
                high = middle - 1
        return low

    def _settle(self, lease: Lease, usage: Usage) -> None:
        chain = self._chain()
        bound = lease.bound if any(pot._limits for pot in chain) else usage
        for pot in chain:
            pot._leases -= 1
            pot.spent = pot.spent + usage
            for limit in pot._limits:
                pot._held[limit] -= cost_of(bound, limit)
                if not pot._leases:
                    pot._held[limit] = 0.0  # no drift from adding and subtracting floats
        for pot in chain:
            pot._serve()

    def _serve(self) -> None:
        """Serve the line from its head, until its head has to go on waiting."""
        while self._queue:
            waiter = self._queue.popleft()
            if waiter.future is None or waiter.future.done():
                continue
            try:
                lease = self._place(waiter, renewal=True)
            except BudgetExhausted as error:
                waiter.future.set_exception(error)
                continue
            if lease is not None:
                waiter.future.set_result(lease)
            elif self._queue and self._queue[0] is waiter:
                return

    def _forget(self, waiter: _Waiter) -> None:
        for pot in waiter.pot._chain():
            if waiter in pot._queue:
                pot._queue.remove(waiter)
                pot._serve()

    def _exhausted(self, limit: str, *, inside: bool = False) -> BudgetExhausted:
        name = self.name or "budget"
        if inside:
            return BudgetExhausted(
                f"The {name.replace('_', ' ')} has no {limit} left for another request while a"
                " stream is open.",
                hint="Leave the stream before asking, or lease both in one piece (env.reserve).",
                limit=self._label(limit),
            )
        return BudgetExhausted(
            f"The {name.replace('_', ' ')} has no {limit} left for another request.",
            hint=f"Raise {name}.{limit}, or lower the cost of a request (max_tokens).",
            limit=self._label(limit),
        )
