"""The stream of a decode on a server: chunks, accounts and the new node of the tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from tts.backends._openai.decode import Decode, Voice
from tts.engine.text import Reader
from tts.types import Chunk, FinishReason, ModelInfo, Request, Segment, Trajectory, Usage

Launch = Callable[[Request], tuple[Decode, Sequence[int] | str]]


class OpenAIStream:
    """One decode under way.

    Args:
        voice: What it shares with others.
        model: For the accounts.
        launch: Starts the decode.
        request: What is asked.
    """

    __slots__ = (
        "_decode", "_delivered", "_finish", "_kept", "_launch", "_model", "_reader", "_request",
        "_text", "_voice",
    )  # fmt: skip

    def __init__(self, voice: Voice, model: ModelInfo, launch: Launch, request: Request) -> None:
        self._voice = voice
        self._model = model
        self._launch = launch
        self._request = request
        self._delivered = 0  # tokens (characters, where text is sent) whose chunk has been made
        self._kept = 0  # log-probabilities that belong to them
        self._text = ""
        self._finish: FinishReason | None = None
        self._reader: Reader | None = None

    async def __aenter__(self) -> Self:
        self._decode, prompt = self._launch(self._request)
        if not isinstance(prompt, str) and self._voice.text is not None:
            self._reader = Reader(self._voice.text, prompt)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._decode.close()
        finally:
            if self._finish is None:
                self._read(self._decode.draft.finish or "abort")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._finish is not None:
            raise StopAsyncIteration
        draft = self._decode.draft
        while True:
            await draft.news()
            # The finish is told when the counts are there too, which come after it.
            finish = draft.finish if draft.over else None
            if finish or (self._request.watch and self._arrived() > self._delivered):
                return self._read(finish)

    @property
    def usage(self) -> Usage:
        """The cost so far; an upper bound where the server does not say it."""
        cost = self._decode.cost()
        return self._model.usage(cost.prompt, cost.cached, cost.generated)

    @property
    def trajectory(self) -> Trajectory:
        """The prefix with what has been delivered so far; with everything after the block."""
        start, draft = self._request.trajectory, self._decode.draft
        segment = Segment(
            self._text,
            tokens=tuple(draft.tokens[: self._delivered]) if self._reader else None,
            tokenizer=self._model.tokenizer if self._reader else None,
            logprobs=self._logprobs(0),
            top_logprobs=self._tops(0),
        )
        return start.extend(
            segment,
            child=self._request.child,
            clock=start.clock + self._decode.cost().generated,
            finish=self._finish,
        )

    def _logprobs(self, start: int) -> tuple[float, ...] | None:
        if self._request.logprobs is None:
            return None
        return tuple(self._decode.draft.logprobs[start : self._kept])

    def _tops(self, start: int) -> tuple[Mapping[int, float], ...] | None:
        if not self._request.logprobs:
            return None
        return tuple(self._decode.draft.tops[start : self._kept])

    def _arrived(self) -> int:
        """Tokens (characters, where text is sent) that can be delivered."""
        draft = self._decode.draft
        if self._reader is None:
            return len(draft.text)
        # The token that ended the answer is charged, not kept: text may be appended later.
        return max(0, len(draft.tokens) - (draft.finish == "stop"))

    def _read(self, finish: FinishReason | None) -> Chunk:
        """Make a chunk of everything that has arrived and not been delivered."""
        draft, start, known = self._decode.draft, self._delivered, self._kept
        ended = draft.finish == "stop" and self._voice.dialect.vllm
        self._kept = max(0, len(draft.logprobs) - ended)
        self._finish = finish
        self._delivered = self._arrived()
        logprobs, tops = self._logprobs(known), self._tops(known)
        if self._reader is None:
            self._text = draft.text
            return Chunk(draft.text[start:], (), finish, logprobs, tops)
        new = draft.tokens[start : self._delivered]
        text = self._reader.read(new, final=finish == "stop")
        self._text += text
        return Chunk(text, tuple(new), finish, logprobs, tops)
