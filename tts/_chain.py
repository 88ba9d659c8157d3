"""One watched chain: decode after decode, with whatever its watchers decide in between.

How it behaves stands in `tts._watched`, which opens it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from types import TracebackType
from typing import Any, Self

from tts._crew import Crew, News, Said, gravest
from tts._cuts import cut
from tts._history import History
from tts._metering import MeteredBackend
from tts._questions import Asked, ask
from tts.budget.pot import Lease
from tts.errors import BudgetExhausted, ContextTooLong
from tts.protocols import Stream, Watcher
from tts.seeds import derive
from tts.types import Chunk, FinishReason, Problem, Request, Segment, Trajectory, Usage
from tts.watching import Abort, Ask, Close, Ending, Insert, Setting, Thinking


@dataclass(frozen=True, slots=True)
class Watch:
    """Who watches what.

    Attributes:
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

    def length_of(self, problem: Problem, text: str) -> int:
        """Tokens of a text that is put into an answer."""
        if not text:
            return 0
        root = Trajectory.root()
        whole = root.extend(Segment(text), child=0, clock=0)
        return self.meter.prompt_tokens(problem, whole) - self.meter.prompt_tokens(problem, root)

    def note(self, watcher: int, request: Request, did: str, **what: Any) -> None:
        """Write down what a watcher has done."""
        name = type(self.watchers[watcher]).__name__
        chain = f"{request.trajectory.key}/{request.child}"
        self.meter.account.log.append({"chain": chain, "watcher": name, "did": did, **what})


class Chain:
    """One chain under way. Implements `tts.protocols.Stream`."""

    __slots__ = (
        "_asked", "_base", "_block", "_clock", "_coming", "_crew", "_finish", "_history", "_inner",
        "_iterator", "_lease", "_length", "_meter", "_node", "_request", "_spent", "_stand",
        "_tokens", "_told", "_watch",
    )  # fmt: skip

    def __init__(self, watch: Watch, request: Request) -> None:
        self._watch = watch
        self._request = request
        self._crew = self._gather()
        self._node = request.trajectory
        self._block: Any = None
        self._inner: Stream | None = None
        self._coming: asyncio.Task[Chunk] | None = None
        self._asked: list[Asked] = []
        self._spent = Usage()
        self._tokens = 0  # of the decode under way that the watchers have seen
        self._clock = request.trajectory.clock
        self._finish: FinishReason | None = None
        self._told = False

    async def __aenter__(self) -> Self:
        request, meter = self._request, self._watch.meter
        self._stand, asking = self._crew.stand_of(self._node)
        self._history = History(self._crew, self._stand)
        self._length = len(self._node.text)
        self._base = meter.prompt_tokens(request.problem, self._node)
        self._lease = await self._take_lease() if meter.pot.limited else None
        self._meter = replace(meter, pot=self._lease.pot()) if self._lease else meter
        try:
            await self._open()
            await self._follow(asking)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    def _gather(self) -> Crew:
        problem, thinking = self._request.problem, self._watch.thinking
        question = problem.messages[-1].content if problem.messages else problem.prompt
        setting = Setting(thinking, question, self._watch.cap)
        # Asked for when a tag is met, and once.
        opening = cache(partial(self._watch.length_of, problem, thinking.start))
        closing = cache(partial(self._watch.length_of, problem, thinking.end))
        size = partial(self._watch.meter.prompt_tokens, problem)
        return Crew(self._watch.watchers, setting, opening, closing, size, self._failed)

    async def _take_lease(self) -> Lease:
        """One for the whole chain, and for reading it once more."""
        meter, base = self._watch.meter, self._base

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
            if self._lease:
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
        self._history.note(self._stand)
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
        self._history.heard.append((asked.watcher, reply))
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
        if self._node is self._request.trajectory:
            return self._request.max_tokens
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
        self._stand, pause = self._crew.pause(self._stand)
        request, left = self._request, self._left
        if left < 1:
            self._finish = "length"
            return
        first = self._node is request.trajectory
        end = (self._watch.thinking.end,) if pause.end and self._watch.thinking.end else ()
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
            every=request.every if request.watch else pause.every,
            steering=pause.steering,
        )
        block = self._meter.open(piece)
        self._inner = await block.__aenter__()
        self._block, self._iterator, self._tokens = block, aiter(self._inner), 0

    @property
    def _tag(self) -> int:
        """Tokens that come before those of thinking for certain."""
        if self._stand.place.phase != "before":
            return 0
        opening = self._crew.opening()
        return opening if opening == 1 else 0

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
                watch, request = self._watch, self._request
                meter = self._meter if question.waits else watch.meter
                policy = question.text is not None
                number = 1 + len(self._history.heard) + len(self._asked)
                node = self._node_at(question.at)
                work = ask(meter if policy else watch.judge, request, node, question, number)
                self._asked.append(Asked(said.watcher, question, asyncio.create_task(work)))
                watch.note(said.watcher, request, "ask", at=question.at, reason=question.name)

    def _node_at(self, at: int) -> Trajectory:
        """The chain up to a position in its thinking part, no earlier than the stream's start."""
        node = self._inner.trajectory if self._inner else self._node
        return cut(
            self._meter, self._request, node, max(self._length, self._stand.place.begun + at)
        )

    def _change(self, said: Said) -> tuple[FinishReason | None, list[Said]]:
        """Carry out a decision on the chain; what others have to say to that."""
        decision, thinking = said.decision, self._watch.thinking
        if isinstance(decision, Abort):
            self._watch.note(said.watcher, self._request, "abort", reason=decision.reason)
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
        self._watch.note(said.watcher, self._request, did, **what)
        return None, others

    def _rewind(self, decider: int, at: int) -> None:
        """Put the watchers back to a position; who has decided for it is there already."""
        for asked in self._asked:
            if asked.question.at > at:
                asked.task.cancel()
        self._asked = [asked for asked in self._asked if asked.question.at <= at]
        text = self._node.text[self._stand.place.begun :]
        self._stand = self._history.back(self._stand, decider, at, text, self._size)

    def _size(self, at: int) -> int:
        """Tokens of prompt and chain up to a position in its thinking part."""
        return self._meter.prompt_tokens(self._request.problem, self._node_at(at))

    def _failed(self, watcher: int, error: Exception) -> None:
        """Write down that a watcher has failed; the chain goes on without it."""
        self._watch.note(watcher, self._request, "fail", reason=f"{type(error).__name__}: {error}")
