"""What the line to the servers is given to do, and what it keeps count of."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tts.backends._slots import Lane


@dataclass(slots=True)
class Stats:
    """Counts since the start.

    Attributes:
        requests: HTTP requests for decodes, repeated ones included.
        retries: Those of them that repeat or continue another.
        resent_prompt_tokens: Prompt tokens that were sent again to continue or repeat a decode
            whose reply was cut; they are in no account.
        estimated_requests: Decodes whose tokens had to be estimated.
        cut_streams: Replies that were lost on their way.
        ejections: How often a server was left alone after it had been well.
    """

    requests: int = 0
    retries: int = 0
    resent_prompt_tokens: int = 0
    estimated_requests: int = 0
    cut_streams: int = 0
    ejections: int = 0


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long things are tried.

    Attributes:
        retries: Most repetitions of a request.
        timeout: Longest wait (s) for the first sign of a reply, and for a whole one.
        stall: Longest silence (s) within a stream.
        down: Longest time (s) for which no server is well.
    """

    retries: int
    timeout: float
    stall: float
    down: float


class Job(Protocol):
    """Something to be asked of a server."""

    @property
    def key(self) -> Hashable:
        """What its prompt is shared with."""
        ...

    @property
    def lane(self) -> Lane:
        """Who asks, which decides when it is their turn."""
        ...

    @property
    def streaming(self) -> bool:
        """Whether the reply comes piece by piece."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the answer is complete."""
        ...

    def order(self) -> tuple[str, dict[str, Any]]:
        """Path and body of the request to send now."""
        ...

    def bound(self) -> int:
        """Most tokens that the request can cost."""
        ...

    def used(self) -> int:
        """Tokens that the request has cost."""
        ...

    def sent(self, there: bool) -> None:
        """Whether a request is with the server now."""
        ...

    def take(self, data: Mapping[str, Any]) -> bool:
        """Read a reply, or an event of a stream; whether the rest of the stream is not needed.

        Raises:
            BackendError: It is no answer.
        """
        ...

    def cut(self, why: str) -> bool:
        """A reply was lost: get ready for a request that goes on; False if none is needed.

        Raises:
            BackendError: None can go on.
        """
        ...
