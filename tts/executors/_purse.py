"""A budget for all problems, spent by workers elsewhere: each problem takes its share with it.

What a request costs is known where it is made, and here only when its problem has ended. So a
problem leases the whole of its own budget before it is handed out, and gives back the rest
afterwards: that is what keeps the total hard. When less than that is left, and nothing will come
back, a problem gets the rest: a budget of the same proportions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tts.budget import Budget
from tts.budget.limits import TOTAL
from tts.budget.pot import LEASED, Lease, Pot, cost_of
from tts.errors import BudgetExhausted, ConfigError
from tts.types import Result, Usage

_PARTS = 1000  # in which FLOPs and dollars are divided where nothing that counts is limited


@dataclass(frozen=True)
class Share:
    """What one problem may spend.

    Attributes:
        budget: Its limits; None where there is no total, and its own setup has the say.
        lowered: Limits that are lower than its own, since the total has no more.
    """

    budget: Budget | None = None
    lowered: frozenset[str] = frozenset()
    _lease: Lease | None = None

    def settle(self, usage: Usage | None) -> None:
        """Pay what was used; None pays all, where the truth is unknown."""
        if self._lease is not None:
            self._lease.settle(usage)

    def named(self, result: Result) -> Result:
        """The result, with the limit that ended it named as the total's if it was."""
        if result.limit in self.lowered:
            return replace(result, limit=f"{TOTAL}.{result.limit}")
        return result


class Purse:
    """The budget of all problems.

    Args:
        total: Its limits; None for none.
        spent: What was spent before, its seconds included.
        own: Limits of each problem.
        least: What a problem costs at least; less is not handed out.
    """

    def __init__(
        self,
        total: Budget | None,
        spent: Usage = Usage(),
        own: Budget | None = None,
        least: Usage = Usage(),
    ) -> None:
        self._pot = Pot(total, spent=spent, name=TOTAL) if total else None
        self._own = own or Budget()
        self._least = least
        limits = [limit for limit in LEASED if total and getattr(total, limit) is not None]
        self._whole: dict[str, float] = {limit: getattr(self._own, limit) for limit in limits}
        counts = ("completion_tokens", "total_tokens", "calls")
        self._parts = next((int(self._whole[c]) for c in counts if c in self._whole), _PARTS)

    async def take(self) -> Share:
        """The share of a problem; waits while others may give something back.

        Raises:
            BudgetExhausted: Nothing is left that would do.
        """
        if self._pot is None:
            return Share()
        lease = await self._pot.lease(lambda n: _usage(self._amounts(n)), self._parts)
        amounts = self._amounts(lease.tokens)
        for limit, amount in amounts.items():
            if amount <= 0 or amount < cost_of(self._least, limit):
                lease.settle(Usage())
                name = f"{TOTAL}.{limit}"
                raise BudgetExhausted(f"{name} is too small for one problem more.", limit=name)
        left = self._pot.remaining("seconds")
        if left < (self._own.seconds or math.inf):
            amounts["seconds"] = max(left, 1e-3)
        lowered = [k for k, v in amounts.items() if v < (getattr(self._own, k) or math.inf)]
        return Share(_limited(self._own, amounts), frozenset(lowered), lease)

    def _amounts(self, n: int) -> dict[str, float]:
        """`n` of the parts of a problem's own budget, as far as the total limits it."""
        fine = ("flops", "usd")
        return {
            limit: whole * n / self._parts if limit in fine else int(whole) * n // self._parts
            for limit, whole in self._whole.items()
        }


def check_own(total: Budget | None, own: Budget | None) -> None:
    """Refuse a total that no lease on a problem's own budget can keep.

    Raises:
        ConfigError: Something is limited for all problems, and not for each.
    """
    for limit in LEASED if total else ():
        if getattr(total, limit) is not None and getattr(own, limit, None) is None:
            raise ConfigError(
                f"{TOTAL}.{limit} is to hold over several workers, and budget.{limit} is not set.",
                hint=f"Set budget.{limit}: a problem takes so much with it to a worker, and gives"
                " back the rest.",
            )


def _limited(own: Budget, amounts: Mapping[str, float]) -> Budget:
    """A problem's budget under lower limits; it lands only if that leaves something to land."""
    budget = own.model_copy(update=dict(amounts))
    if budget.landing_tokens >= (budget.completion_tokens or math.inf):
        budget = budget.model_copy(update={"landing_tokens": 0})
    return budget


def _usage(amounts: Mapping[str, float]) -> Usage:
    """A cost that has just these amounts."""
    whole = int(amounts.get("total_tokens", amounts.get("completion_tokens", 0)))
    tokens = min(int(amounts.get("completion_tokens", 0)), whole)
    return Usage(
        prompt_tokens=whole - tokens,
        completion_tokens=tokens,
        calls=int(amounts.get("calls", 0)),
        flops=amounts.get("flops", 0.0),
        usd=amounts.get("usd", 0.0),
    )
