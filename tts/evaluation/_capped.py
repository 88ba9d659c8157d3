"""What one budget for all problems leaves of an estimate. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import floor

from tts.budget.limits import TOTAL
from tts.budget.pot import LEASED, Budget, cost_of
from tts.types import Usage


def capped(usage: Usage, total: Budget, cap: int) -> Usage:
    """An upper bound, lowered to what the limits allow.

    Args:
        usage: Of all problems, at most.
        total: For all of them together.
        cap: Most tokens of one answer, and so of a request.
    """
    tokens = min(_or(total.completion_tokens), _or(total.total_tokens))
    calls, every = _or(total.calls), _or(total.total_tokens)
    return replace(
        usage,
        prompt_tokens=_least(usage.prompt_tokens, every),
        cached_tokens=_least(usage.cached_tokens, every),
        completion_tokens=_least(usage.completion_tokens, min(tokens, calls * cap)),
        verifier_tokens=_least(usage.verifier_tokens, every),
        calls=_least(usage.calls, calls),
        verifier_calls=_least(usage.verifier_calls, calls),
        flops=min(usage.flops, _or(total.flops)),
        usd=min(usage.usd, _or(total.usd)),
        sequential_tokens=_least(usage.sequential_tokens, min(tokens, calls * cap)),
    )


def shrunk(usage: Usage, share: float) -> Usage:
    """A part of a cost, in whole tokens; fewer answers side by side take as long as many."""
    values = usage.as_dict().items()
    parts = {k: floor(v * share + 1e-9) if isinstance(v, int) else v * share for k, v in values}
    smaller = Usage(**parts)  # type: ignore[arg-type]
    chain = min(usage.sequential_tokens, smaller.completion_tokens)
    return replace(smaller, sequential_tokens=chain)


def scarcest(usage: Usage, total: Budget) -> tuple[str, float]:
    """The limit of which a cost wants most, and the part of the cost that it pays, at most 1."""
    shares = {
        limit: amount / cost
        for limit in (*LEASED, "seconds")
        if (amount := getattr(total, limit)) is not None and (cost := cost_of(usage, limit))
    }
    limit = min(shares, key=lambda name: shares[name], default="")
    return limit, min(1.0, shares.get(limit, 1.0))


def said(label: str, limit: str, total: Budget, wanted: Usage) -> Iterator[str]:
    """What there is to say of a limit that is in the way."""
    amount, cost = getattr(total, limit), cost_of(wanted, limit)
    yield (
        f"{label}: {TOTAL}.{limit} is {amount:,.10g}, and {cost:,.10g} are wanted without it; what"
        " is expected is that part of all, and problems that come late may get less than others."
    )


def _or(limit: float | None) -> float:
    return float("inf") if limit is None else limit


def _least(value: int, limit: float) -> int:
    return int(min(value, limit))
