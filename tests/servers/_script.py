"""What tests tell the scripted server, and what it tells them: traits, acts and calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal


@dataclass(frozen=True)
class Traits:
    """What a server is like.

    Attributes:
        model: The one it serves.
        vllm: Whether it poses as vLLM: the model card, continued messages, reasons for stops.
        listed: Whether it has `/models`.
        key: The only key it takes; empty for any.
        n: How it takes `n`.
        usage: Whether it counts.
        obeys: Whether it keeps to `max_tokens`.
        logprobs: Whether it has log-probabilities; vLLM always has.
        thinking: Field in which the first four words of an answer come; empty for none.
        words: Least number of words of an answer.
        context: Most tokens of prompt and answer.
        base: Checkpoint beneath the model, which is then an adapter of it; empty for none.
        slots: Most answers at once; further requests are held back. None for no limit.
        pace: Seconds that a word of a stream takes.
        stuck: Words after which a stream falls silent until it is left, as one does that is longer
            than anybody waits; None for never.
    """

    model: str = "toy"
    vllm: bool = False
    listed: bool = True
    key: str = ""
    n: Literal["obeyed", "ignored", "refused"] = "obeyed"
    usage: bool = True
    obeys: bool = True
    logprobs: bool = False
    thinking: str = ""
    words: int = 8
    context: int = 4096
    base: str = ""
    slots: int | None = None
    pace: float = 0.0
    stuck: int | None = None


@dataclass(frozen=True)
class Act:
    """What happens to one request for an answer.

    Attributes:
        status: Of the reply; no answer is generated unless it is 200.
        headers: Of a refusal.
        body: A body in place of the answer.
        then: What breaks the reply off, in a stream after `at` words: the connection is closed, the
            server falls silent, an error is sent, or the stream ends as if all were said.
        at: Words until then; 0 means before the head of the reply.
        finish: A finish reason in place of the true one.
        empty: Whether the reply has no choices.
        hold: Whether the reply waits for `release`.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    then: Literal["", "hang up", "stall", "error", "end"] = ""
    at: int = 0
    finish: str | None = None
    empty: bool = False
    hold: bool = False

    def __str__(self) -> str:
        default = Act()
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        return " ".join(f"{k}={v}" for k, v in told.items() if v != getattr(default, k))


@dataclass
class Call:
    """One request for an answer, and the truth about it.

    Attributes:
        number: Of the request, from 0.
        path: Which interface.
        body: As it came.
        authorization: The header.
        prompt_tokens: Of everything it was given to read.
        completion_tokens: Generated and sent off.
        cut: Whether the reply was broken off by either side.
    """

    number: int
    path: str
    body: dict[str, Any]
    authorization: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cut: bool = False
