"""What went wrong with an HTTP request, and how long to wait before it is sent again.

The only place that knows the exceptions of the `openai` package. Pure but for that: time and chance
are given.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from tts.errors import BackendError, ConfigError, ContextTooLong, EndpointDown, TTSError

_FIRST_SECONDS, _LONGEST_SECONDS = 0.5, 30.0
_TOO_LONG = re.compile(
    r"context_length|context length|maximum context|max_model_len|context window|too many tokens"
    r"|prompt is too long",
    re.IGNORECASE,
)

Kind = Literal["busy", "down", "cut", "hopeless", "refused", "context", "wrong"]


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request has no answer.

    Attributes:
        kind: `busy` (try again later), `down` (the server failed before it answered), `cut` (a
            reply was lost on its way), `hopeless` (key or model are not let in), `refused` (the
            request is at fault), `context` (it is too long) or `wrong` (the reply is no answer).
        message: What the server said, without secrets.
        retry_after: Seconds that the server asks us to wait, if it does.
    """

    kind: Kind
    message: str
    retry_after: float | None = None

    @property
    def well(self) -> bool | None:
        """What the fault says of the server: False ill, True well."""
        return self.kind not in ("down", "cut")

    def error(self) -> TTSError:
        """The fault as an exception for the caller."""
        if self.kind == "context":
            return ContextTooLong(
                f"The server says that the prompt is too long: {self.message}",
                hint="Lower max_tokens, or shorten the prompt.",
            )
        if self.kind == "refused":
            return ConfigError(f"The server refuses the request: {self.message}")
        if self.kind == "hopeless":
            return EndpointDown(
                f"The server turns us away: {self.message}",
                hint="Check the key, its quota and the model; what had ended is kept.",
            )
        return BackendError(f"The server failed: {self.message}")


def status_fault(
    status: int, code: str, message: str, headers: Mapping[str, str], now: float
) -> Fault:
    """The fault behind an HTTP status.

    Args:
        status: HTTP status, 300 or more.
        code: The error's code or type in the body, or empty.
        message: What the server said, scrubbed.
        headers: Of the response.
        now: Time since the epoch (s).
    """
    said = f"{message} (HTTP {status})"
    if "insufficient_quota" in code or status in (401, 402, 403, 404):
        return Fault("hopeless", said)
    if status in (408, 409, 429):
        return Fault("busy", said, retry_after(headers, now))
    if status >= 500:
        return Fault("down", said, retry_after(headers, now))
    if status in (400, 413, 422) and _TOO_LONG.search(f"{code} {message}"):
        return Fault("context", said)
    return Fault("refused", said)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a server asks us to wait (RFC 9110, 10.2.3), or None.

    Args:
        headers: Of the response, with lower-case lookup.
        now: Time since the epoch (s).
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        said = headers.get(name)
        if said is None:
            continue
        try:
            seconds = float(said) * unit
        except ValueError:
            try:
                when = parsedate_to_datetime(said)
            except ValueError:
                continue
            when = when if when.tzinfo else when.replace(tzinfo=UTC)
            seconds = (when - datetime.fromtimestamp(now, UTC)).total_seconds()
        if seconds == seconds:  # not NaN
            return max(0.0, seconds)
    return None


def back_off(failures: int, asked: float | None, longest: float, rng: random.Random) -> float:
    """Seconds to wait after so many failures: full jitter under an exponential ceiling.

    Args:
        failures: Of this request so far, at least 1.
        asked: Seconds that the server asks for; never less is waited, but for `longest`.
        longest: Most seconds.
        rng: Chance.

    The jitter is that of M. Brooker, "Exponential Backoff and Jitter" (2015).
    """
    ceiling = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(failures - 1, 16))
    jitter = rng.uniform(0.0, ceiling)
    return min(longest, (asked or 0.0) + jitter)


def fault_of(error: Exception, scrub: Callable[[object], str], now: float) -> Fault:
    """The fault behind an exception that sending a request, or waiting for its reply, raised.

    Args:
        error: From the `openai` package, or a time-out.
        scrub: Takes secrets out of a text.
        now: Time since the epoch (s).
    """
    import openai

    if isinstance(error, openai.APIStatusError):
        code, message = _complaint(error.body)
        said = scrub(message or error.response.reason_phrase or "no reason given")
        return status_fault(error.status_code, code, said, error.response.headers, now)
    if isinstance(error, openai.APIConnectionError):
        cause = error.__cause__
        said = scrub(f"{type(cause).__name__}: {cause}" if cause else error)
        late = isinstance(error, openai.APITimeoutError)
        lost = late and not type(cause).__name__.startswith(("Connect", "Pool"))
        return Fault("cut" if lost else "down", said)
    if isinstance(error, TimeoutError):
        return Fault("cut", "it fell silent")
    return Fault("wrong", scrub(f"{type(error).__name__}: {error}"))


def _complaint(body: Any) -> tuple[str, str]:
    """Code and message of an error's body, whatever form it has."""
    if not isinstance(body, Mapping):
        return "", "" if body is None else str(body)
    inner = body.get("error", body)
    if not isinstance(inner, Mapping):
        return "", str(inner)
    code = f"{inner.get('code') or ''} {inner.get('type') or ''}"
    return code, str(inner.get("message") or inner.get("detail") or inner)
