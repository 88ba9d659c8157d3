"""A backend that plays a tape: a character a token, a token a second; stops where it is told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tts import Greedy, Problem, solve
from tts.backends.simulated import VirtualClock
from tts.tasks.answers import MathAnswers
from tts.types import Capability, Chunk, ModelInfo, Segment

PROMPT = 10


@dataclass(eq=False)
class Tape:
    """Writes what `tape(problem, text so far, seed)` says comes next, character by character.

    Attributes:
        tape: Gives the whole rest of the answer; it ends there.
        logprob: Of a character, given the text before it.
        clock: Each character takes a second of it; None for no time at all.
        requests: All that were opened.
        most: Most streams that were open at once.
    """

    tape: Callable
    logprob: Callable = lambda text: -0.1
    clock: VirtualClock | None = None
    chunk: int = 1
    capabilities: frozenset = frozenset(
        {Capability.CONTINUATION, Capability.LOGPROBS, Capability.SEEDS}
    )
    model: ModelInfo = ModelInfo("tape", active_params=1000, context=1 << 20)
    requests: list = field(default_factory=list)
    generated: int = 0
    streams: int = 0
    most: int = 0

    def identity(self):
        return {"tape": "tests"}

    def prompt_tokens(self, problem, trajectory):
        return PROMPT + len(trajectory.text)

    async def start(self):
        pass

    async def aclose(self):
        pass

    @asynccontextmanager
    async def open(self, request):
        self.requests.append(request)
        self.streams += 1
        self.most = max(self.most, self.streams)
        stream = Playing(self, request)
        try:
            yield stream
        finally:
            self.streams -= 1
            stream.finish = stream.finish or "abort"


class Playing:
    def __init__(self, backend, request):
        self.backend, self.request = backend, request
        start = request.trajectory.text
        self.rest = backend.tape(request.problem, start, request.seed)
        self.before, self.text, self.finish = start, "", None

    @property
    def usage(self):
        return self.backend.model.usage(PROMPT + len(self.before), 0, len(self.text))

    @property
    def trajectory(self):
        start = self.request.trajectory
        whole = self.before + self.text
        logprobs = tuple(
            self.backend.logprob(whole[:end]) for end in range(len(self.before), len(whole))
        )
        return start.extend(
            Segment(self.text, logprobs=logprobs),
            child=self.request.child,
            clock=start.clock + len(self.text),
            finish=self.finish,
        )

    def advance(self):
        if len(self.text) == len(self.rest):
            self.finish = "stop"
            return
        self.text += self.rest[len(self.text)]
        self.backend.generated += 1
        if any(self.text.endswith(stop) for stop in self.request.stop):
            self.finish = "step"
        elif len(self.text) == self.request.max_tokens:
            self.finish = "length"

    async def __aiter__(self):
        told = 0
        while self.finish is None:
            if self.backend.clock:
                await self.backend.clock.sleep(1.0)
            self.advance()
            due = len(self.text) - told >= self.backend.chunk
            if self.finish or (self.request.watch and due):
                text, told = self.text[told:], len(self.text)
                logprobs = self.trajectory.segment.logprobs[-len(text) :] if text else ()
                yield Chunk(text, finish=self.finish, logprobs=logprobs)


async def run(tape, *watchers, strategy=None, **options):
    """What comes of a problem whose answer is in a box, under watchers."""
    return await solve(
        Problem.chat("p", "3+4="),
        strategy=strategy or Greedy(),
        backend=tape,
        watchers=watchers,
        answers=MathAnswers(fallback_last_number=False),
        **options,
    )
