"""One decode as a job for the line, and several of the same prompt in one request.

Here a request of ours becomes requests of the protocol: where they start, how far they may go, how
a reply that was cut is continued, and who pays for what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tts.backends._openai.draft import Draft
from tts.backends._openai.line import Line
from tts.backends._openai.prompts import PromptBounds
from tts.backends._openai.wire import FINISHES, PATHS, Api, Ask, Dialect, body, piece
from tts.backends._slots import Lane, lane_of
from tts.engine.text import StopPlan, Text
from tts.errors import BackendError
from tts.seeds import derive
from tts.types import Request


@dataclass(slots=True, eq=False)
class Voice:
    """What all decodes of a backend share.

    Attributes:
        dialect: How requests are put.
        line: To the servers.
        text: The tokenizer, if it is known.
        count: Most tokens of a text.
        scrub: Takes secrets out of what a server says.
        bounds: Lengths of prompts.
        choices: Most samples in one request; 1 once a server has shown that it gives no more.
    """

    dialect: Dialect
    line: Line
    text: Text | None
    count: Callable[[str], int]
    scrub: Callable[[object], str]
    bounds: PromptBounds = field(default_factory=PromptBounds)
    choices: int = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens of a decode: prompt, those of it that were cached, and generated ones."""

    prompt: int
    cached: int
    generated: int


class Decode:
    """One decode.

    Args:
        voice: What it shares with others.
        request: What is asked.
        api: The interface to ask.
        prompt: Ids or text where the decode starts; for a chat the partial answer.
        bound: Most tokens of the prompt.
        bias: What is added to the logits of tokens, by id.

    Attributes:
        draft: What has arrived.
        free: Whether its prompt is paid for by another decode.
    """

    __slots__ = (
        "_api", "_bound", "_final", "_leave", "_plan", "_prompt", "bias", "draft", "free",
        "request", "streaming", "voice",
    )  # fmt: skip

    def __init__(
        self,
        voice: Voice,
        request: Request,
        api: Api,
        prompt: Sequence[int] | str,
        bound: int,
        bias: Mapping[int, float],
    ) -> None:
        dialect = voice.dialect
        self.voice = voice
        self.request = request
        self.free = False
        self.bias = bias
        self._api, self._prompt, self._bound = api, prompt, bound
        self._plan = _plan(voice, request)
        scan = bool(request.stop) and not dialect.vllm
        self.streaming = request.watch or scan
        self.draft = Draft(
            request,
            ids=dialect.ids,
            step_ids=self._plan.ids,
            scan=scan,
            count=voice.count,
        )
        self._leave: Callable[[], Awaitable[None]] | None = None
        self._final: Cost | None = None

    # --- as a job ---

    @property
    def key(self) -> Hashable:
        """The problem, whose prefix a server may have in its cache."""
        problem = self.request.problem
        return problem.prompt or problem.messages

    @property
    def lane(self) -> Lane:
        """Who asks."""
        return lane_of(self.request)

    @property
    def finished(self) -> bool:
        """Whether the answer is complete."""
        return self.draft.finish is not None

    def order(self) -> tuple[str, dict[str, Any]]:
        """Path and body of the request to send now: the whole answer, or the rest of one."""
        return PATHS[self._api], self.body(1)

    def body(self, n: int) -> dict[str, Any]:
        """The body of a request for `n` samples."""
        request, draft = self.request, self.draft
        prompt: Sequence[int] | str = self._prompt
        if draft.base:
            prompt = prompt + draft.text if isinstance(prompt, str) else [*prompt, *draft.tokens]
        seed = request.seed
        if seed is not None and draft.base:
            # The first draws of this seed are spent; taken again, they would repeat themselves.
            seed = derive(seed, "continued", draft.base)
        ask = Ask(
            self._api,
            prompt,
            request.max_tokens - draft.base,
            seed,
            self._plan.strings,
            self._plan.ids,
            self.streaming,
            n,
            self.bias,
        )
        return body(self.voice.dialect, request, ask)

    def bound(self) -> int:
        """Most tokens that the request can cost."""
        return self._bound + self.request.max_tokens

    def used(self) -> int:
        """Tokens that have been used."""
        cost = self.cost()
        return cost.prompt + cost.generated

    def sent(self, there: bool) -> None:
        """Whether a request is with the server now."""
        self.draft.sent = there

    def take(self, data: Mapping[str, Any]) -> bool:
        """Read a reply, or an event of a stream."""
        choices, usage = content(data)
        if not choices and not self.streaming:
            raise BackendError("The server's reply has no choices.")
        for choice in choices[:1]:
            self.add(choice)
        if usage:
            self.learn(usage)
        self.draft.check()
        if not self.streaming and not self.finished:
            raise BackendError("The server's reply has no finish reason.")
        return self.draft.finish == "step" and self.draft.scan

    def cut(self, why: str) -> bool:
        """A reply was lost: go on from what has arrived, or repeat the very same draw."""
        draft, stats = self.draft, self.voice.line.stats
        if not self.streaming:
            if not self._repeatable():
                raise BackendError(
                    f"A reply was lost ({why}), and without seeds the same draw cannot be had"
                    " again: another would favour short answers.",
                )
        elif not draft.empty and not self._resume(why):
            return False
        stats.resent_prompt_tokens += self._bound + draft.base
        return True

    def _resume(self, why: str) -> bool:
        draft = self.draft
        if not self.voice_continues() or draft.thinking is not None:
            raise BackendError(f"An answer was cut ({why}), and it cannot be continued.")
        exact = draft.counted() is not None
        left = draft.resume()
        if left < 1 and not exact:
            raise BackendError(f"An answer was cut ({why}), at a length that nothing tells.")
        if left < 1:
            draft.finish = "length"
        draft.scan = bool(self.request.stop) and not self.voice.dialect.ids
        return left > 0

    def voice_continues(self) -> bool:
        """Whether the server can go on with a partial answer to this problem."""
        if self.request.structure is not None:  # its grammar would begin anew
            return False
        return self._api == "completions" or self.voice.dialect.vllm

    def _repeatable(self) -> bool:
        request = self.request
        seeded = request.seed is not None and self.voice.dialect.seeds
        return seeded or request.sampling.temperature == 0

    # --- accounts ---

    def add(self, choice: Mapping[str, Any]) -> None:
        """Append what a choice says."""
        ids = self.voice.dialect.ids
        said = piece(choice, self.request.logprobs, ids=ids)
        if said.finish not in FINISHES:
            said = replace(said, finish=self.voice.scrub(said.finish))  # it goes into an error
        self.draft.add(said)

    def learn(self, usage: Mapping[str, Any]) -> None:
        """Note what the server counts."""
        first = self.draft.prompt is None
        self.draft.count(usage)
        whole = self.draft.prompt is not None and not self.draft.base
        if first and whole and not self.voice.dialect.ids:
            request = self.request
            self.voice.bounds.learn(request.problem, request.trajectory, self.draft.prompt or 0)

    def cost(self) -> Cost:
        """What it has cost so far; what nobody can know any more is charged in full."""
        draft = self.draft
        if self._final is not None:
            return self._final
        if not draft.sent and draft.finish is None and draft.empty:
            return Cost(0, 0, 0)
        generated = draft.generated()
        if draft.finish is not None:
            generated = max(1, generated)
        elif not self.streaming:
            generated = self.request.max_tokens
        prompt = self._bound if draft.prompt is None else draft.prompt
        prompt = 0 if self.free else prompt
        return Cost(prompt, min(draft.cached, prompt), generated)

    # --- life ---

    def start(self) -> None:
        """Ask for it alone."""
        task = asyncio.create_task(self.voice.line.deliver(self))
        task.add_done_callback(self._ended)

        async def leave() -> None:
            await cancelled(task)

        self._leave = leave

    def belong(self, leave: Callable[[], Awaitable[None]]) -> None:
        """Have it asked for together with others; `leave` is called when nobody wants it."""
        self._leave = leave

    def _ended(self, task: asyncio.Task[None]) -> None:
        left = task.cancelled() and self.finished  # with its answer there, but not its counts
        self.draft.end(None if left else outcome(task))

    async def close(self) -> None:
        """Stop it, and close its connection."""
        if self._leave is not None and not self.draft.over:
            await self._leave()
        if self._final is None:
            self.voice.line.stats.estimated_requests += self.draft.guessed
            self._final = self.cost()


def _plan(voice: Voice, request: Request) -> StopPlan:
    """How stop strings are told to the server; not at all where it would cut them off."""
    if not request.stop or not voice.dialect.vllm:
        return StopPlan()
    if voice.dialect.ids and voice.text is not None:
        return voice.text.stop_plan(request.stop)
    return StopPlan(strings=request.stop)


def content(data: Any) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]:
    """Choices and usage of a reply or an event."""
    if not isinstance(data, Mapping):
        raise BackendError("The server's reply is no answer.")
    if data.get("error"):
        raise BackendError("The server sent an error instead of an answer.")
    return data.get("choices") or (), data.get("usage") or {}


def outcome(task: asyncio.Task[None]) -> BaseException | None:
    """The error that ended a task, if one did."""
    return BackendError("The decode was left.") if task.cancelled() else task.exception()


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has let go of its connection."""
    if not task.done():
        task.cancel()
        await asyncio.wait([task])
