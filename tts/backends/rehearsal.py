"""A backend that rehearses: it generates nothing, and costs what another one would have cost.

It stands in for a backend that need not be started. Prompts are counted by the real one, with its
tokenizer; answers are as long as it is told, and say what it is told. It knows nothing of what a
model would really write. Time is virtual, a token a second, so that shorter answers end first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tts.backends._steering import refuse_steering
from tts.backends.simulated import VirtualClock
from tts.protocols import Backend
from tts.seeds import derive
from tts.types import (
    Capability,
    Chunk,
    FinishReason,
    ModelInfo,
    Problem,
    Request,
    Segment,
    Trajectory,
    Usage,
)

Length = Callable[[Problem, int], int | None]
"""Tokens of a whole answer to a problem, by a seed; None for one that never ends by itself."""

Saying = Callable[[Problem, int], str]
"""The end of an answer's text, by a seed."""

_WORD = "and "  # the text of a token
_WATCHED = 32  # tokens between two looks at a stream that is watched
_STATED = 8  # tokens in which a result is stated that was asked for in so many words
_LOGPROB = -0.5


@dataclass(slots=True, eq=False)
class Rehearsal:
    """Stands in for a backend.

    Args:
        inner: The backend it stands in for; only asked for its model, capabilities and prompts.
        length: Says how long a whole answer is; one that never ends fills every cap.
        saying: Says how an answer ends; not asked for one that was cut off before its end.
        step: Tokens after which a request with stop strings meets one of them; None for never.
        cached: Part of the prompt tokens that come from the prefix cache, 0 to 1.

    Attributes:
        stepped: Whether any request had stop strings.
    """

    inner: Backend
    length: Length
    saying: Saying
    step: int | None = None
    cached: float = 0.0
    stepped: bool = False
    clock: VirtualClock = field(default_factory=VirtualClock)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Those of the real backend."""
        return self.inner.capabilities

    @property
    def model(self) -> ModelInfo:
        """The real model."""
        return self.inner.model

    def identity(self) -> Mapping[str, Any]:
        """What it rehearses; no cache may take it for the real one."""
        return {"rehearsal": dict(self.inner.identity())}

    def prompt_tokens(self, problem: Problem, trajectory: Trajectory) -> int:
        """Tokens of the prompt by the real backend, and those of the partial answer."""
        root = Trajectory.root()
        prompt = total = self.inner.prompt_tokens(problem, root)
        for segment in trajectory.segments():
            if segment.origin == "model":
                total += _length(segment)
            else:
                added = root.extend(segment, child=0, clock=0)
                total += self.inner.prompt_tokens(problem, added) - prompt
        return total

    def open(self, request: Request) -> _RehearsedStream:
        """Pretend to decode."""
        self.stepped = self.stepped or bool(request.stop)
        return _RehearsedStream(self, request)

    async def start(self) -> None:
        """Start nothing, the real backend least of all."""

    async def aclose(self) -> None:
        """Release nothing."""

    def plan(self, request: Request) -> tuple[int, FinishReason, str]:
        """How many tokens a request makes, why it ends, and on which text."""
        cap, step = request.max_tokens, self.step if request.stop else None
        seed, left = self._left(request)
        size = min(n for n in (cap, step, left) if n is not None)
        if size == left:
            return size, "stop", self.saying(request.problem, seed)
        if size == step:
            return size, "step", request.stop[0]
        # Cut off in mid-answer, unless it was meant to fill whatever room there is.
        return size, "length", "" if left else self.saying(request.problem, seed)

    def _left(self, request: Request) -> tuple[int, int | None]:
        """The seed of an answer, and how many tokens it still lacks; None if it never ends.

        Whatever continues a first piece belongs to the same answer, and is as long as that one.
        What follows an answer that had ended is another one.
        """
        problem, first, written, forced = request.problem, None, 0, False
        for node in request.trajectory.nodes():
            first = first or node
            assert node.segment is not None
            forced = node.segment.origin == "forced"
            if node.segment.origin == "model":
                written += _length(node.segment)
            if node.finish == "stop":
                first, written = None, 0
        first = first or request.trajectory.extend(Segment(""), child=request.child, clock=0)
        seed = derive(0, problem.id, problem.repeat, first.key)
        length = self.length(problem, seed)
        if length is None:
            return seed, None
        return seed, _STATED if forced else max(1, length - written)


class _RehearsedStream:
    """One decode that is not done."""

    __slots__ = ("_end", "_finish", "_rehearsal", "_request", "_size", "_start", "_text", "_tokens")

    def __init__(self, rehearsal: Rehearsal, request: Request) -> None:
        self._rehearsal, self._request = rehearsal, request
        self._size, self._finish, self._end = rehearsal.plan(request)
        self._tokens, self._text, self._start = 0, "", 0.0

    @property
    def usage(self) -> Usage:
        """What the real backend would have made until now."""
        prompt = self._rehearsal.prompt_tokens(self._request.problem, self._request.trajectory)
        cached = int(prompt * self._rehearsal.cached)
        return self._rehearsal.model.usage(prompt, cached, self._tokens)

    @property
    def trajectory(self) -> Trajectory:
        """The prefix with as many tokens as have been made."""
        start, request = self._request.trajectory, self._request
        segment = Segment(
            self._text,
            (0,) * self._tokens,
            self._rehearsal.model.tokenizer,
            *self._logprobs(self._tokens),
        )
        finish = self._finish if self._tokens == self._size else "abort"
        clock = start.clock + self._tokens
        return start.extend(segment, child=request.child, clock=clock, finish=finish)

    async def __aenter__(self) -> _RehearsedStream:
        rehearsal = self._rehearsal
        refuse_steering(
            self._request, rehearsal.capabilities, f"the backend of {rehearsal.model.name}"
        )
        self._start = self._rehearsal.clock()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Left early: what had been made until then is paid.
        self._write(int(self._rehearsal.clock() - self._start))

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        while self._tokens < self._size:
            left = self._size - self._tokens
            size = min(left, _WATCHED) if self._request.watch else left
            await self._rehearsal.clock.sleep(size)
            before = len(self._text)
            self._write(self._tokens + size)
            done = self._tokens == self._size
            finish = self._finish if done else None
            yield Chunk(self._text[before:], (0,) * size, finish, *self._logprobs(size))

    def _logprobs(
        self, tokens: int
    ) -> tuple[tuple[float, ...] | None, tuple[Mapping[int, float], ...] | None]:
        """Log-probabilities of so many tokens, and of the likeliest, if they were asked for."""
        asked = self._request.logprobs
        return (
            None if asked is None else (_LOGPROB,) * tokens,
            ({0: _LOGPROB},) * tokens if asked else None,
        )

    def _write(self, tokens: int) -> None:
        """Have made at least so many tokens."""
        self._tokens = max(self._tokens, min(tokens, self._size))
        end = self._end if self._tokens == self._size else ""
        self._text = _WORD * (self._tokens - -(-len(end) // len(_WORD))) + end


def _length(segment: Segment) -> int:
    """Tokens of a piece of ours, also where it was cut."""
    return len(segment.tokens) if segment.tokens else -(-len(segment.text) // len(_WORD))
