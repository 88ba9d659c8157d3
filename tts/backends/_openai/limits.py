"""How much is sent at once, per second and per minute.

Requests per second are kept by asyncio-throttle, tokens per minute by a small bucket, requests in
flight by slots, of which verifiers get the next. Knows nothing of what is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tts.backends._slots import Slots
from tts.errors import ConfigError

_T = TypeVar("_T")
_SLICES = 5  # a second is cut into so many windows, so that requests do not come in one burst
_POLL_SECONDS = 0.002  # of the one that waits in front
_LOOK_AGAIN_SECONDS = 0.25  # tokens may be given back while somebody waits


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of all requests of one backend together.

    Attributes:
        requests_per_second: Most HTTP requests a second, above 0; None for no limit.
        tokens_per_minute: Most tokens a minute, at least 1: a request counts its prompt and its
            `max_tokens` until it has ended, then what it really used. None for no limit.
        in_flight: Most requests at once, at least 1. Streams that are watched together get all but
            one of them, and a verifier's request goes first (see `tts.backends._slots`).
    """

    requests_per_second: float | None = None
    tokens_per_minute: int | None = None
    in_flight: int = 64

    def __post_init__(self) -> None:
        for name, least in (("requests_per_second", 1e-3), ("tokens_per_minute", 1)):
            value = getattr(self, name)
            if value is not None and not least <= value:
                raise ConfigError(f"backend.limits.{name} is {value}; it must be at least {least}.")
        if self.in_flight < 1:
            raise ConfigError(f"backend.limits.in_flight is {self.in_flight}; it must be positive.")


def read_settings(kind: type[_T], value: _T | Mapping[str, Any] | None, name: str) -> _T:
    """Settings as they are, or made of a mapping; None gives the defaults.

    Raises:
        ConfigError: The mapping has a field that the settings lack, or a value of a wrong type.
    """
    if isinstance(value, kind):
        return value
    fields = dict(value) if isinstance(value, Mapping) else {}
    try:
        return kind(**fields)
    except TypeError as error:
        known = ", ".join(getattr(kind, "__dataclass_fields__", ()))
        raise ConfigError(
            f"{name} cannot be read: {error}.", hint=f"Its fields are {known}."
        ) from None


def windows(per_second: float) -> tuple[int, float]:
    """Requests a window, and its length in seconds: what a rate means for the throttler.

    In any window of that length at most so many requests are sent, so that over time the rate is
    never exceeded, and no second sees more than a fifth above it.
    """
    count = max(1, int(per_second / _SLICES))
    return count, count / per_second


class TokenBucket:
    """Tokens that may be used, refilled evenly; a minute's worth at most.

    Args:
        per_minute: Tokens that come in a minute.
        now: Seconds on any clock that does not go back.
    """

    __slots__ = ("_level", "_size", "_when")

    def __init__(self, per_minute: int, now: float) -> None:
        self._size = float(per_minute)
        self._level = self._size
        self._when = now

    def take(self, tokens: int, now: float) -> float:
        """Take tokens; 0 if they were taken, else the seconds until they will be there.

        More than a minute's worth is taken once the bucket is full, and is paid off later.
        """
        self._level = min(self._size, self._level + (now - self._when) * self._size / 60)
        self._when = now
        lacking = min(tokens, self._size) - self._level
        if lacking > 1e-6:
            return lacking * 60 / self._size
        self._level -= tokens
        return 0.0

    def give(self, tokens: int) -> None:
        """Give back what was taken and not used, or (below 0) take what was used beyond it."""
        self._level = min(self._size, self._level + tokens)


class Gate:
    """Where requests wait for their turn, first come, first served.

    Args:
        limits: What may pass.
        clock: Seconds.
        sleep: Waits for seconds.

    Attributes:
        slots: To be held while a request is in flight.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self.slots = Slots(limits.in_flight)
        self._throttler: Any = None
        if limits.requests_per_second is not None:
            from asyncio_throttle.throttler import Throttler

            count, period = windows(limits.requests_per_second)
            self._throttler = Throttler(count, period, _POLL_SECONDS)
        self._bucket: TokenBucket | None = None
        if limits.tokens_per_minute is not None:
            self._bucket = TokenBucket(limits.tokens_per_minute, clock())
        self._turn = asyncio.Lock()  # one waits at the throttler or bucket, the others behind it

    async def admit(self, tokens: int) -> None:
        """Wait until a request of up to `tokens` tokens may be sent."""
        if self._throttler is None and self._bucket is None:
            return
        async with self._turn:
            while self._bucket and (wait := self._bucket.take(tokens, self._clock())):
                await self._sleep(min(wait, _LOOK_AGAIN_SECONDS))
            if self._throttler is not None:
                try:
                    await self._throttler.acquire()
                except BaseException:
                    self.settle(tokens, 0)  # left before it was sent
                    raise

    def settle(self, reserved: int, used: int) -> None:
        """Say what an admitted request really used."""
        if self._bucket is not None:
            self._bucket.give(reserved - used)
