"""The nouns of watched chains: how a model marks its thinking, what a watcher reads, and decides.

Standard library only, like `tts.types`. A watcher (`tts.protocols.Watcher`) is a pure state machine
over the thinking part of one answer; what carries out its decisions is `tts._watched`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tts.types import FinishReason, Message, Segment, Steering

Ending = Literal["pause", "end"]

REFLECTIONS = ("Wait", "But wait", "Alternatively", "Hmm", "Let me double-check", "Let me check")
"""Words with which models of the R1 and Qwen3 families begin to reflect."""


@dataclass(frozen=True, slots=True)
class Thinking:
    r"""How a model marks its thinking part, and what it writes in it.

    Attributes:
        start: Text that opens the part, at the start of an answer; empty if the chat template has
            opened it already.
        end: Text that closes it; empty for a model without tags, whose whole answer is thought.
        lead: Text after `end` that makes the model state its result.
        step: Text between two steps.
        reflections: Words that begin a step which checks or changes what was said before.
    """

    start: str = "<think>"
    end: str = "</think>"
    lead: str = "\n\n**Final Answer**\n\\boxed{"
    step: str = "\n\n"
    reflections: tuple[str, ...] = REFLECTIONS


@dataclass(frozen=True, slots=True)
class Setting:
    """What a watcher may know of the chain it is put to.

    Attributes:
        thinking: How the model marks its thinking.
        question: What is asked: the prompt, or the last message.
        max_tokens: Cap on the tokens of the answer.
    """

    thinking: Thinking
    question: str
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What a watcher reads: the next piece of the thinking part.

    Attributes:
        text: Its text.
        tokens: How many tokens it has.
        ending: `pause` if the chain has come to a stop for some watcher and waits; `end` if the
            model has written `Thinking.end` (which is not in `text`), or has ended its answer;
            None while it goes on.
        injected: Whether it was put there by a watcher.
        logprobs: Log-probabilities of its tokens (nats), if the watcher asked for them.
        top_logprobs: For each token the likeliest ids with theirs, if it asked for those.
    """

    text: str
    tokens: int
    ending: Ending | None = None
    injected: bool = False
    logprobs: tuple[float, ...] | None = None
    top_logprobs: tuple[Mapping[int, float], ...] | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """When a watcher wants to hear of the chain again.

    Attributes:
        stop: Strings at which the chain comes to a stop.
        tokens: Tokens of thinking from here after which it does, at least 1; None for no limit.
        end: Whether it stops when the thinking part ends, so that the end can be taken back.
        watch: Whether pieces are wanted as they come, while the chain goes on.
        every: Tokens between two such pieces, at least 1, where the backend can do that: what the
            chain overruns a decision at most. More is cheaper.
        logprobs: None for none, 0 for those of the drawn tokens, k for the k likeliest as well.
        steering: What is to be changed meanwhile; None for nothing.
    """

    stop: tuple[str, ...] = ()
    tokens: int | None = None
    end: bool = False
    watch: bool = False
    every: int = 16
    logprobs: int | None = None
    steering: Steering | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Something to be asked beside the chain; nothing of it stays there.

    Attributes:
        name: Of the question, for the watcher that asks.
        at: Position in the thinking part, in characters, that it is about.
        text: Appended to the chain as it was at `at`, for the policy to continue; None to ask a
            judge.
        messages: Asked of the judge, if `text` is None.
        max_tokens: Longest reply, at least 1; replies are greedy.
        stop: Strings that end the reply.
        logprobs: As of `Pause`.
        waits: Whether the chain waits for the reply.
    """

    name: str
    at: int
    text: str | None = None
    messages: tuple[Message, ...] = ()
    max_tokens: int = 1
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a question.

    Attributes:
        question: That was asked.
        segment: What was written.
        finish: Why it ended.
    """

    question: Question
    segment: Segment
    finish: FinishReason | None


@dataclass(frozen=True, slots=True)
class Insert:
    """Decision: what was thought up to `at` stays, `text` follows, and the model goes on."""

    at: int
    text: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Close:
    """Decision: thinking ends at `at`: `text`, `Thinking.end` and `Thinking.lead` follow."""

    at: int
    text: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Abort:
    """Decision: the answer is given up; it is never read, and never votes."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Decision: ask these questions, in this order."""

    questions: tuple[Question, ...]


Decision = Insert | Close | Abort | Ask | None
State = Any
