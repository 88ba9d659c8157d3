"""A backend that is a function: for laws, contracts and scale, never for claims about models.

A simulated model is a function `(trajectory, seed) -> Step`: what it would write next. Latency,
where given, passes on a virtual clock, so that an hour of decoding takes no time. Everything is
deterministic given the seed of a request. Figures made with it must say `simulated`.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tts.backends._slots import Slots, lane_of
from tts.backends._steering import refuse_steering
from tts.backends._structures import refuse_structure
from tts.errors import ContextTooLong
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

_OTHERS = 99  # tokens that a simulated one might have been


@dataclass(frozen=True, slots=True)
class Step:
    """What the simulated model writes next: text of `tokens` tokens.

    Attributes:
        text: The text.
        tokens: Its length in tokens, at least 1.
        final: Whether the answer ends here.
        seconds: Virtual time it takes to write.
        logprob: Log-probability of each of its tokens.
        top_logprobs: The likeliest ids of each of its tokens, with their log-probabilities. By
            default the token itself, which is 0, and others that share the rest evenly.
    """

    text: str
    tokens: int
    final: bool = True
    seconds: float = 0.0
    logprob: float = -0.5
    top_logprobs: Mapping[int, float] | None = None

    def likeliest(self, most: int) -> Mapping[int, float]:
        """The `most` likeliest ids of each of its tokens."""
        known = _spread(self.logprob) if self.top_logprobs is None else self.top_logprobs
        return dict(sorted(known.items(), key=lambda pair: -pair[1])[:most])


Simulator = Callable[[Problem, Trajectory, int], Step]


def _spread(logprob: float) -> Mapping[int, float]:
    """A distribution in which token 0 has a log-probability, and others share the rest evenly."""
    rest = -math.expm1(logprob)
    each = math.log(rest / _OTHERS) if rest > 0 else -math.inf
    return {0: logprob, **dict.fromkeys(range(1, _OTHERS + 1), each)}


class VirtualClock:
    """Time that passes only when nothing else can happen.

    `sleep` parks its caller; when the event loop has nothing ready, the earliest sleeper wakes and
    the clock jumps to its time.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0
        self._driver: asyncio.Task[None] | None = None

    def __call__(self) -> float:
        """Virtual seconds since the start."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Wait for virtual time to pass."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self.now + seconds, self._order, future))
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive())
        await future

    async def _drive(self) -> None:
        while self._sleepers:
            # Let everything that is ready run; a handful of rounds covers wrappers and callbacks.
            for _ in range(20):
                await asyncio.sleep(0)
            when, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                self.now = max(self.now, when)
                future.set_result(None)


@dataclass(slots=True, eq=False)
class SimulatedBackend:
    """A backend whose model is a function.

    Args:
        simulate: Says what comes next, from problem, prefix and seed. Must be deterministic.
        info: The model, for the accounts.
        clock: For latencies; without one, steps take no time.
        slots: Most decodes at once; None for no limit. Verifiers come first, see `_slots`.
        prompt_length: Tokens of every prompt.
        capabilities: What it claims to do.
        settings: What the function depends on, of JSON types, for `identity`.
        words: Texts of tokens by their ids, as far as they matter.

    Attributes:
        generated: Tokens generated since the start, by the backend's own count.
        open_streams: Streams that are open now.
    """

    simulate: Simulator
    info: ModelInfo = ModelInfo("simulated", active_params=1_000_000, context=1 << 20)
    clock: VirtualClock | None = None
    slots: int | None = None
    prompt_length: int = 10
    capabilities: frozenset[Capability] = frozenset(
        {Capability.CONTINUATION, Capability.LOGPROBS, Capability.SEEDS}
    )
    settings: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[int, str] = field(default_factory=dict)
    generated: int = 0
    open_streams: int = 0
    _gate: Slots | None = field(default=None)

    @property
    def model(self) -> ModelInfo:
        """The model, for the accounts."""
        return self.info

    def identity(self) -> Mapping[str, Any]:
        """The function's name and settings; two functions of one name need different settings."""
        kind = self.simulate if hasattr(self.simulate, "__qualname__") else type(self.simulate)
        name = f"{kind.__module__}.{kind.__qualname__}"
        return {"simulated": name, "settings": dict(self.settings)}

    def prompt_tokens(self, problem: Problem, trajectory: Trajectory) -> int:
        """The fixed prompt length, and the tokens of the partial answer."""
        return self.prompt_length + sum(_length(s) for s in trajectory.segments())

    def word(self, token: int) -> str:
        """The text of a token; empty if it has none."""
        return self.words.get(token, "")

    def is_token(self, text: str) -> bool | None:
        """Whether a text is one of the words; None if there are none."""
        return text in self.words.values() if self.words else None

    def open(self, request: Request) -> _SimulatedStream:
        """Decode until the model, a stop or the cap ends it; any stop string ends a step."""
        return _SimulatedStream(self, request)

    async def start(self) -> None:
        """Make the slots, if their number is limited."""
        if self.slots is not None and self._gate is None:
            self._gate = Slots(self.slots)

    async def aclose(self) -> None:
        """Nothing to release."""


def _length(segment: Segment) -> int:
    if segment.logprobs is not None:
        return len(segment.logprobs)
    return max(1, len(segment.text) // 4)


class _SimulatedStream:
    """One simulated decode: step after step until the answer, a stop or the cap ends it."""

    __slots__ = (
        "_backend", "_finish", "_logprobs", "_node", "_prompt", "_request", "_text", "_tops",
    )  # fmt: skip

    def __init__(self, backend: SimulatedBackend, request: Request) -> None:
        self._backend = backend
        self._request = request
        self._prompt = 0
        self._text = ""
        self._logprobs: list[float] = []
        self._tops: list[Mapping[int, float]] = []
        self._finish: FinishReason | None = None
        self._node: Trajectory | None = None  # once it has ended

    @property
    def usage(self) -> Usage:
        return self._backend.info.usage(self._prompt, 0, len(self._logprobs))

    @property
    def trajectory(self) -> Trajectory:
        if self._node is not None:
            return self._node
        start = self._request.trajectory
        node = start.extend(
            self._segment(),
            child=self._request.child,
            clock=start.clock + len(self._logprobs),
            finish=self._finish,
        )
        if self._finish:
            self._node = node
        return node

    async def __aenter__(self) -> _SimulatedStream:
        backend, request = self._backend, self._request
        refuse_steering(request, backend.capabilities, "the simulated backend")
        refuse_structure(request, backend.capabilities, "the simulated backend")
        self._prompt = backend.prompt_tokens(request.problem, request.trajectory)
        if self._prompt + request.max_tokens > backend.info.context:
            raise ContextTooLong(
                f"{self._prompt} prompt tokens and {request.max_tokens} to generate exceed the"
                f" context of {backend.info.context}."
            )
        if backend._gate:
            await backend._gate.acquire(lane_of(request))
        backend.open_streams += 1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._backend.open_streams -= 1
        if self._backend._gate:
            self._backend._gate.release(lane_of(self._request))
        self._finish = self._finish or "abort"

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        request = self._request
        for number in itertools.count():
            node = self.trajectory if number else request.trajectory
            seed = derive(request.seed or 0, number) if number else request.seed or 0
            step = self._backend.simulate(request.problem, node, seed)
            # A watched step comes in two halves, so that it can be left in its middle.
            cuts = (step.tokens // 2, step.tokens) if request.watch else (step.tokens,)
            done = 0
            for cut in cuts:
                if step.seconds and self._backend.clock:
                    await self._backend.clock.sleep(step.seconds * (cut - done) / step.tokens)
                known = len(self._logprobs) if request.watch else 0
                text = self._write(step, done, cut)
                done = cut
                if request.watch or self._finish:
                    piece = self._segment(known)
                    yield Chunk(
                        text if request.watch else self._text,
                        (),
                        self._finish,
                        piece.logprobs,
                        piece.top_logprobs,
                    )
                if self._finish:
                    return

    def _segment(self, start: int = 0) -> Segment:
        """What has been written, with log-probabilities from token `start` on."""
        tops = tuple(self._tops[start:]) if self._request.logprobs else None
        return Segment(self._text, logprobs=tuple(self._logprobs[start:]), top_logprobs=tops)

    def _write(self, step: Step, start: int, stop: int) -> str:
        """Write tokens `start` to `stop` - 1 of a step, as far as the cap lets; return the text."""
        request = self._request
        stop_here = min(stop, start + request.max_tokens - len(self._logprobs))
        size = len(step.text)
        text = step.text[size * start // step.tokens : size * stop_here // step.tokens]
        self._text += text
        self._logprobs.extend([step.logprob] * (stop_here - start))
        if request.logprobs:
            self._tops.extend([step.likeliest(request.logprobs)] * (stop_here - start))
        self._backend.generated += stop_here - start
        if stop_here == step.tokens and (step.final or request.stop):
            self._finish = "stop" if step.final else "step"
        elif len(self._logprobs) == request.max_tokens:
            self._finish = "length"
        return text
