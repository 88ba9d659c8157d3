"""One answer out of a replay cache: first what is recorded of it, then what is decoded now.

It charges both alike, and records what was decoded when it is left. What is to be done with a
request is decided in `_plan`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tts.backends._replay.entry import NO_LOGPROBS, Entry, Mark, join, likeliest, together
from tts.backends._replay.plan import Plan, pieces
from tts.errors import ReplayMiss
from tts.protocols import Stream
from tts.types import Chunk, FinishReason, Request, Segment, Trajectory, Usage

if TYPE_CHECKING:
    from tts.backends.replay import ReplayBackend

_PATIENCE_SECONDS = 0.5  # an equal request that nobody has read for so long is not waited for


class ReplayStream:
    """One answer: first what is recorded of it, then what is decoded now."""

    __slots__ = (
        "_at", "_block", "_busy", "_chunks", "_cost", "_done", "_failed", "_finish", "_ids", "_key",
        "_left", "_live", "_marks", "_node", "_plan", "_reads", "_replay", "_request",
    )  # fmt: skip

    def __init__(self, replay: ReplayBackend, request: Request) -> None:
        self._replay = replay
        self._request = request
        self._key: bytes | None = None
        self._plan = Plan(None, request)
        self._left: deque[tuple[Chunk, Mark]] = deque()  # recorded, and not delivered
        self._at: Mark = (0, 0)  # how far the record has been delivered
        self._block: AbstractAsyncContextManager[Stream] | None = None
        self._live: Stream | None = None
        self._chunks: AsyncIterator[Chunk] | None = None
        self._marks: list[Mark] = []  # where live chunks ended
        self._ids = 0  # token ids in live chunks
        self._failed = False
        self._finish: FinishReason | None = None
        self._cost: Usage | None = None  # once it has been left
        self._node: Trajectory | None = None  # once it has been left
        self._busy = True  # whether we wait for the backend, rather than it for a reader
        self._reads = 0
        self._done = asyncio.Event()

    async def __aenter__(self) -> Self:
        await asyncio.sleep(0)  # a run of hits must not keep the event loop to itself
        key = self._replay.key(self._request)
        if key is not None:
            await self._take_seat(key)
        past, rest = self._plan.past, self._plan.rest
        try:
            if past is not None:
                self._left.extend(pieces(past, self._ends, watch=self._request.watch))
            if rest is not None and self._replay.offline and not self._shows_first:
                raise self._miss()
            if rest is not None and past is None:
                await self._ask(rest)
        except BaseException:
            self._leave_seat()
            raise
        self._busy = False
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            try:
                if isinstance(self._chunks, AsyncGenerator):
                    await self._chunks.aclose()
            finally:
                if self._block is not None:
                    await self._block.__aexit__(kind, error, trace)
            self._settle()
        finally:
            self._leave_seat()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._finish is not None:
            raise StopAsyncIteration
        self._busy = True
        try:
            chunk = await self._next()
        finally:
            self._busy = False
        self._reads += 1
        self._finish = chunk.finish
        return likeliest(chunk, self._request.logprobs or 0)

    @property
    def usage(self) -> Usage:
        """The cost so far as if everything had been decoded now."""
        if self._cost is not None:
            return self._cost
        past, live = self._plan.past, self._live
        if past is None:
            return live.usage if live is not None else Usage()
        ended = self._finish is not None and self._finish != "abort"
        replayed = past.completion if ended or live is not None else self._at[1]
        more = 0 if live is None else live.usage.completion_tokens
        nominal = self._replay.model.usage(past.prompt, past.cached, replayed + more)
        return replace(nominal, replayed_tokens=replayed)

    @property
    def trajectory(self) -> Trajectory:
        """The prefix with what has been delivered so far, recorded or not, as one node."""
        if self._node is not None:
            return self._node
        request, live = self._request, self._live
        if live is not None and self._plan.rest is request:
            return live.trajectory
        segment = likeliest(self._segment(), request.logprobs or 0)
        start = request.trajectory
        clock = start.clock + self.usage.completion_tokens
        return start.extend(segment, child=request.child, clock=clock, finish=self._finish)

    @property
    def _shows_first(self) -> bool:
        """Whether something can be delivered before anybody is asked."""
        return self._request.watch and self._plan.past is not None

    def _segment(self) -> Segment:
        past = self._plan.past
        live = None if self._live is None else self._live.trajectory.segment
        if past is None:
            assert live is not None
            return live
        if live is not None:
            return join(past.segment, live)
        return past.segment if self._at == past.end else past.until(self._at, "abort").segment

    def _ends(self, entry: Entry) -> Sequence[int] | None:
        return self._replay.ends_of(self._request, entry)

    async def _take_seat(self, key: bytes) -> None:
        """Decide how to answer; while an equal request is under way, wait for its outcome."""
        seats = self._replay.seats
        while True:
            self._key, self._plan = self._replay.plan(key, self._request)
            if self._plan.rest is None or self._replay.offline:
                return
            leader = seats.get(self._key)
            if leader is None:
                seats[self._key] = self
                return
            if not await leader._ended():
                return

    async def _ended(self) -> bool:
        """Wait until this stream has been left; false if nobody reads it."""
        while not self._done.is_set():
            before = self._reads
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._done.wait()
            except TimeoutError:
                if not self._busy and before == self._reads:
                    return False
        return True

    def _leave_seat(self) -> None:
        if self._key is not None and self._replay.seats.get(self._key) is self:
            del self._replay.seats[self._key]
        self._done.set()

    async def _ask(self, request: Request) -> None:
        if self._replay.offline:
            raise self._miss()
        await self._replay.inner.start()
        block = self._replay.inner.open(request)
        self._live = await block.__aenter__()
        self._block = block
        self._chunks = aiter(self._live)

    def _miss(self) -> ReplayMiss:
        return ReplayMiss(
            f"The replay cache {self._replay.archive.file} lacks (a part of) an answer to problem"
            f" {self._request.problem.id!r}, and nothing may be asked offline.",
            hint="Record it by a run that is not offline.",
        )

    async def _next(self) -> Chunk:
        rest = self._plan.rest
        held: Chunk | None = None
        if self._left and (rest is None or self._request.watch):
            if self._request.watch:
                await asyncio.sleep(0)  # streams that are watched together go on together
            chunk, self._at = self._left.popleft()
            past = self._plan.past
            if rest is None and not self._left and past is not None:
                return replace(chunk, finish=past.finish)
            return chunk
        if self._left:  # nobody watches: one chunk with all that comes
            held, self._at = self._left.popleft()
        if self._chunks is None:
            assert rest is not None
            await self._ask(rest)
        chunk = await self._read()
        return chunk if held is None else together(held, chunk)

    async def _read(self) -> Chunk:
        """The next chunk that is decoded now."""
        assert self._chunks is not None and self._live is not None
        try:
            chunk = await anext(self._chunks)
        except Exception:
            self._failed = True  # what was generated and not delivered is unknown
            raise
        self._ids += len(chunk.tokens)
        tokens = self._ids or self._live.usage.completion_tokens
        before = self._marks[-1][0] if self._marks else 0
        self._marks.append((before + len(chunk.text), tokens))
        return chunk

    def _settle(self) -> None:
        """Record what was decoded, and book what it cost."""
        if self._finish is None:
            self._take_overrun()
            self._finish = "abort" if self._live is None else self._live.trajectory.finish
        self._cost = self.usage
        paid = None if self._live is None else self._live.usage
        if paid is not None and not self._failed and self._key:
            entry = self._entry(paid)
            if entry.sure:
                self._replay.archive.put(self._key, entry)
        self._replay.book(self._plan.past is not None, paid, self._cost)
        self._node = self.trajectory

    def _take_overrun(self) -> None:
        """What a stream generated while it was left belongs to its last chunk, as it did then."""
        past = self._plan.past
        if self._live is None and past is not None and past.finish == "abort":
            if past.marks and self._at == past.marks[-1] and len(self._left) == 1:
                _, self._at = self._left.popleft()

    def _entry(self, paid: Usage) -> Entry:
        assert self._live is not None and self._plan.rest is not None
        node, asked = self._live.trajectory, self._plan.rest.logprobs
        assert node.segment is not None and node.finish is not None
        unasked = NO_LOGPROBS if node.segment.logprobs is None else 0
        entry = Entry(
            segment=node.segment,
            marks=tuple(
                (place, min(count, paid.completion_tokens)) for place, count in self._marks
            ),
            finish=node.finish,
            prompt=paid.prompt_tokens,
            cached=paid.cached_tokens,
            completion=paid.completion_tokens,
            detail=unasked if asked is None else asked,
        )
        past = self._plan.past
        return entry if past is None else past.and_then(entry)
