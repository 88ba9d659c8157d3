"""The watched backend: carries out what watchers decide about a chain while it is written.

A watched stream looks like any other to the strategy that opens it. Inside, it is one decode after
the other: where a watcher inserts text, closes the thinking part or wants to wait, the decode is
left and a new one continues the chain on the cached prefix. Questions are asked beside it.

* Decisions hold for a position. What was generated beyond it is charged and cut off, so the text
  of a chain does not depend on how fast replies come; its cost does, unless its watchers wait.
* Of several decisions at once the gravest counts: abort, close, insert. Equal ones: the earliest
  position, then the watcher that comes first. Questions are asked in any case.
* Where watchers stand is kept on the nodes, so a chain may be forked and resumed anywhere.
* A watcher that fails is left out for the rest of the chain, which goes on; the log says so.
* The stream holds one lease from its first to its last token. Inserted text counts against
  `max_tokens`, so a watched answer is no longer than an unwatched one may be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from tts._crew import Crew, News, Said, Stand, gravest
from tts._metering import MeteredBackend
from tts._questions import Asked, ask
from tts.budget.pot import Lease
from tts.errors import BudgetExhausted, ContextTooLong
from tts.protocols import Stream, Watcher
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
from tts.watching import Abort, Ask, Close, Ending, Insert, Reply, Setting, Thinking


@dataclass(frozen=True, slots=True)
class WatchedBackend:
    """A metered backend whose chains are watched.

    Args:
        meter: Decodes, and pays.
        judge: Is asked the questions that are not for the policy; pays as a verifier.
        watchers: At least one.
        thinking: How the model marks its thinking.
        cap: Most tokens of a whole answer; a request may be for a part of one.
    """

    meter: MeteredBackend
    judge: MeteredBackend
    watchers: tuple[Watcher, ...]
    thinking: Thinking
    cap: int

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Those of the metered backend."""
        return self.meter.capabilities

    @property
    def model(self) -> ModelInfo:
        """That of the metered backend."""
        return self.meter.model

    def identity(self) -> Mapping[str, Any]:
        """That of the metered backend."""
        return self.meter.identity()

    def prompt_tokens(self, problem: Problem, trajectory: Trajectory) -> int:
        """As the metered backend counts them."""
        return self.meter.prompt_tokens(problem, trajectory)

    def open(self, request: Request) -> WatchedStream:
        """Wait for a lease, then decode under the eyes of the watchers."""
        return WatchedStream(self, request)

    async def start(self) -> None:
        """Start the metered backend."""
        await self.meter.start()

    async def aclose(self) -> None:
        """Do nothing: the inner backend belongs to whoever made it."""

    def length_of(self, problem: Problem, text: str) -> int:
        """Tokens of a text that is put into an answer."""
        root = Trajectory.root()
        whole = root.extend(Segment(text), child=0, clock=0)
        return self.prompt_tokens(problem, whole) - self.prompt_tokens(problem, root)

    def note(self, watcher: int, request: Request, did: str, **what: Any) -> None:
        """Write down what a watcher has done."""
        name = type(self.watchers[watcher]).__name__
        chain = f"{request.trajectory.key}/{request.child}"
        self.meter.account.log.append({"chain": chain, "watcher": name, "did": did, **what})


class WatchedStream:
    """One chain under way. Implements `tts.protocols.Stream`."""

    __slots__ = (
        "_asked", "_backend", "_base", "_block", "_clock", "_coming", "_crew", "_finish", "_heard",
        "_history", "_inner", "_iterator", "_lease", "_length", "_meter", "_node", "_request",
        "_spent", "_stand", "_tokens", "_told",
    )  # fmt: skip

    def __init__(self, backend: WatchedBackend, request: Request) -> None:
        self._backend = backend
        self._request = request
        self._crew = self._gather()
        self._node = request.trajectory
        self._block: Any = None
        self._inner: Stream | None = None
        self._coming: asyncio.Task[Chunk] | None = None
        self._asked: list[Asked] = []
        self._history: list[tuple[Stand, int]] = []
        self._heard: list[tuple[int, Reply]] = []
        self._spent = Usage()
        self._tokens = 0  # of the decode under way that the watchers have seen
        self._clock = request.trajectory.clock
        self._finish: FinishReason | None = None
        self._told = False

    async def __aenter__(self) -> Self:
        request, meter = self._request, self._backend.meter
        self._stand, asking = self._crew.stand_of(self._node)
        self._length = len(self._node.text)
        self._base = meter.prompt_tokens(request.problem, self._node)
        self._lease = await self._take_lease()
        self._meter = replace(meter, pot=self._lease.pot())
        try:
            await self._open()
            await self._follow(asking)
        except BaseException:
            self._lease.settle(self._meter.pot.spent)
            raise
        return self

    def _gather(self) -> Crew:
        problem, thinking = self._request.problem, self._backend.thinking
        question = problem.messages[-1].content if problem.messages else problem.prompt
        setting = Setting(thinking, question, self._backend.cap)
        opening = self._backend.length_of(problem, thinking.start)
        closing = self._backend.length_of(problem, thinking.end)
        size = partial(self._backend.prompt_tokens, problem)
        return Crew(self._backend.watchers, setting, opening, closing, size, self._failed)

    async def _take_lease(self) -> Lease:
        """One for the whole chain, and for reading it once more."""
        meter, base = self._backend.meter, self._base

        def cost(tokens: int) -> Usage:
            model = meter.model
            again = model.usage(base + tokens, base + tokens, 0)
            return model.usage(base, 0, tokens) + replace(again, sequential_tokens=0)

        want = max(1, min(self._request.max_tokens, meter.model.context - base))
        return await meter.account.lease(meter.pot, cost, want, landing=meter.landing)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._leave(kind, error, trace)
        finally:
            self._finish = self._finish or "abort"
            for asked in self._asked:
                asked.task.cancel()
            await asyncio.gather(*(a.task for a in self._asked), return_exceptions=True)
            self._lease.settle(self._meter.pot.spent)

    @property
    def usage(self) -> Usage:
        """What the chain has cost, what was cut off included; not what questions have cost."""
        return self._spent + self._inner.usage if self._inner else self._spent

    @property
    def trajectory(self) -> Trajectory:
        """The chain as it stands."""
        node = self._inner.trajectory if self._inner else self._node
        return replace(node, finish=self._finish, watched=self._stand)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        while self._finish is None:
            arrived = await self._next()
            if isinstance(arrived, Asked):
                await self._follow(self._hear(arrived))
            else:
                await self._follow(self._read(arrived), arrived.finish)
                if self._request.watch or self._finish:
                    self._told = self._finish is not None
                    return replace(arrived, finish=self._finish)
        if self._told:
            raise StopAsyncIteration
        self._told = True
        return Chunk("", (), self._finish)

    async def _next(self) -> Chunk | Asked:
        """The next chunk, or the first question with its reply."""
        if self._coming is None:
            if not self._asked:
                return await anext(self._iterator)
            self._coming = asyncio.ensure_future(anext(self._iterator))
        if self._asked:
            first = self._asked[0]
            await asyncio.wait((self._coming, first.task), return_when=asyncio.FIRST_COMPLETED)
            if first.task.done():
                return self._asked.pop(0)
        chunk = await self._coming
        self._coming = None
        return chunk

    def _read(self, chunk: Chunk) -> list[Said]:
        """Have the watchers read a chunk."""
        if self._stand.place.phase == "over":
            return []
        ending: Ending | None = None
        if chunk.finish is not None:
            ending = "end" if chunk.finish == "stop" else "pause"
        tokens = len(chunk.tokens)
        if not tokens:
            assert self._inner is not None, "it has just come"
            tokens = self._inner.usage.completion_tokens - self._tokens
        self._tokens += tokens
        self._history.append((self._stand, len(self._heard)))
        news = News(chunk.text, tokens, ending, chunk.logprobs, chunk.top_logprobs)
        self._stand, said = self._crew.read(self._stand, news)
        return said

    def _hear(self, asked: Asked) -> list[Said]:
        """Have a watcher hear the reply to its question."""
        try:
            reply, clock = asked.task.result()
        except Exception as error:  # a question that cannot be answered must not end the chain
            self._failed(asked.watcher, error)
            self._stand = self._crew.without(self._stand, asked.watcher)
            return []
        self._clock = max(self._clock, clock)
        self._heard.append((asked.watcher, reply))
        self._stand, said = self._crew.hear(self._stand, asked.watcher, reply)
        return said

    async def _follow(self, said: Sequence[Said], finish: FinishReason | None = None) -> None:
        """Do what has been decided, and whatever follows from that, until the decode goes on."""
        left, ended = False, None
        while True:
            acting, asking = gravest(said)
            self._ask(asking)
            if acting is not None:
                await self._leave()
                left, ended, said = True, *self._change(acting)
                if said:  # to what has been inserted
                    continue
            elif not left and (finish is not None or self._waits):
                await self._leave()
                left, ended = True, self._ended(finish)
            if not left:
                return
            if ended == "abort" or not (self._asked and (ended is not None or self._waits)):
                break
            asked = self._asked.pop(0)
            await asyncio.wait((asked.task,))
            said = self._hear(asked)
        self._finish = ended
        if ended is None:
            try:
                await self._open()
            except (BudgetExhausted, ContextTooLong):
                self._finish = "length"

    @property
    def _waits(self) -> bool:
        """Whether the chain waits for a reply."""
        return any(asked.question.waits for asked in self._asked)

    @property
    def _left(self) -> int:
        """Tokens that the chain may still have."""
        used = self._meter.prompt_tokens(self._request.problem, self._node) - self._base
        return self._request.max_tokens - used

    def _ended(self, finish: FinishReason | None) -> FinishReason | None:
        """Why the chain has ended with the decode that was left; None if it goes on."""
        if finish == "step":
            text = self._node.segment.text if self._node.segment else ""
            return "step" if any(stop in text for stop in self._request.stop) else None
        if finish == "length":
            return "length" if self._left < 1 else None
        return finish

    async def _open(self) -> None:
        """Go on with the chain from where it stands.

        Raises:
            BudgetExhausted: The budget cannot pay for another token.
            ContextTooLong: The context is full.
        """
        request, pause, left = self._request, self._crew.pause(self._stand), self._left
        if left < 1:
            self._finish = "length"
            return
        first = self._node is request.trajectory
        end = (self._backend.thinking.end,) if pause.end and self._backend.thinking.end else ()
        logprobs = [most for most in (request.logprobs, pause.logprobs) if most is not None]
        piece = replace(
            request,
            trajectory=self._node,
            child=request.child if first else 0,
            seed=request.seed if first else self._seed("goes on"),
            max_tokens=left if pause.tokens is None else min(left, pause.tokens + self._tag),
            stop=(*request.stop, *pause.stop, *end),
            logprobs=max(logprobs) if logprobs else None,
            watch=request.watch or pause.watch,
            steering=pause.steering,
        )
        block = self._meter.open(piece)
        self._inner = await block.__aenter__()
        self._block, self._iterator, self._tokens = block, aiter(self._inner), 0

    @property
    def _tag(self) -> int:
        """Tokens that come before those of thinking for certain."""
        opening = self._crew.opening
        return opening if opening == 1 and self._stand.place.phase == "before" else 0

    def _seed(self, name: str) -> int | None:
        seed = self._request.seed
        return None if seed is None else derive(seed, name, self._node.key)

    async def _leave(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Leave the decode under way, if there is one, and keep what it has written."""
        if self._inner is None:
            return
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.gather(self._coming, return_exceptions=True)
            self._coming = None
        try:
            await self._block.__aexit__(kind, error, trace)
        finally:
            self._spent = self._spent + self._inner.usage
            self._node, self._inner = self._inner.trajectory, None

    def _ask(self, asking: Sequence[Said]) -> None:
        """Send questions on their way."""
        for said in asking:
            assert isinstance(said.decision, Ask), "that is how they were sorted"
            for question in said.decision.questions:
                backend, request = self._backend, self._request
                meter = self._meter if question.waits else backend.meter
                policy = question.text is not None
                number = 1 + len(self._heard) + len(self._asked)
                node = self._node_at(question.at)
                work = ask(meter if policy else backend.judge, request, node, question, number)
                self._asked.append(Asked(said.watcher, question, asyncio.create_task(work)))
                backend.note(said.watcher, request, "ask", at=question.at, reason=question.name)

    def _node_at(self, at: int) -> Trajectory:
        """The chain up to a position in its thinking part, no earlier than the stream's start."""
        node = self._inner.trajectory if self._inner else self._node
        return cut(
            self._meter, self._request, node, max(self._length, self._stand.place.begun + at)
        )

    def _change(self, said: Said) -> tuple[FinishReason | None, list[Said]]:
        """Carry out a decision on the chain; what others have to say to that."""
        decision, thinking = said.decision, self._backend.thinking
        if isinstance(decision, Abort):
            self._backend.note(said.watcher, self._request, "abort", reason=decision.reason)
            return "abort", []
        assert isinstance(decision, Close | Insert), "there are no others"
        closes = isinstance(decision, Close)
        text = decision.text + (thinking.end + thinking.lead if closes else "")
        node = self._node_at(decision.at)
        self._rewind(said.watcher, decision.at)
        injected = Segment(text, origin="injected")
        self._node = node.extend(injected, child=0, clock=max(node.clock, self._clock))
        problem = self._request.problem
        tokens = self._meter.prompt_tokens(problem, self._node)
        tokens -= self._meter.prompt_tokens(problem, node)
        others: list[Said] = []
        if closes:
            self._stand = replace(self._stand, place=self._stand.place.over())
        else:
            self._stand, others = self._crew.insert(self._stand, text, tokens)
        did = "close" if closes else "insert"
        what = {"at": decision.at, "tokens": tokens, "reason": decision.reason}
        self._backend.note(said.watcher, self._request, did, **what)
        return None, others

    def _rewind(self, decider: int, at: int) -> None:
        """Put the watchers back to a position; who has decided for it is there already."""
        for asked in self._asked:
            if asked.question.at > at:
                asked.task.cancel()
        self._asked = [asked for asked in self._asked if asked.question.at <= at]
        now = self._stand
        place = replace(now.place, phase="thinking", read=at, held="")
        if at < now.place.read:
            then, heard = next(
                (entry for entry in reversed(self._history) if entry[0].place.read <= at),
                (self._crew.begin(), 0),
            )
            text = self._node.text[now.place.begun + then.place.read : now.place.begun + at]
            again = News(text, self._size(at) - self._size(then.place.read))
            place_then = replace(place, read=then.place.read)
            then, _ = self._crew.read(replace(then, place=place_then), again)
            for watcher, reply in self._heard[heard:]:
                if reply.question.at <= at:
                    then, _ = self._crew.hear(then, watcher, reply)
            states = list(then.states)
            states[decider] = now.states[decider]
            now = replace(now, states=tuple(states))
        self._stand = replace(now, place=place)

    def _size(self, at: int) -> int:
        """Tokens of prompt and chain up to a position in its thinking part."""
        return self._meter.prompt_tokens(self._request.problem, self._node_at(at))

    def _failed(self, watcher: int, error: Exception) -> None:
        """Write down that a watcher has failed; the chain goes on without it."""
        self._backend.note(
            watcher, self._request, "fail", reason=f"{type(error).__name__}: {error}"
        )


def cut(meter: MeteredBackend, request: Request, node: Trajectory, characters: int) -> Trajectory:
    """A chain up to a position, with its token ids where one ends there.

    Args:
        meter: May know where the text of each token ends.
        request: Of the chain.
        node: Its end.
        characters: Position in its text.
    """
    piece = node.cut(characters)
    segment, whole = piece.segment, node
    while whole.parent is not None and whole.depth > piece.depth:
        whole = whole.parent
    original = whole.segment
    if segment is None or original is None or segment is original or original.tokens is None:
        return piece
    ends = meter.ends(replace(request, trajectory=whole.parent or whole), original.tokens)
    if len(segment.text) not in ends:
        return piece
    kept = len(ends) - ends[::-1].index(len(segment.text))
    logprobs, tops = original.logprobs, original.top_logprobs
    exact = replace(
        original,
        text=segment.text,
        tokens=original.tokens[:kept],
        logprobs=logprobs and logprobs[:kept],
        top_logprobs=tops and tops[:kept],
    )
    assert whole.parent is not None, "a node with a segment has a parent"
    return replace(piece, segment=exact, clock=min(node.clock, whole.parent.clock + kept))
