"""One decode of the bundled engine, as a stream of ours."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tts.backends._vllm.checks import Checks
from tts.backends._vllm.params import likeliest, params_of
from tts.engine import Engine
from tts.engine.text import Reader
from tts.errors import BackendError, EngineDead
from tts.types import Chunk, FinishReason, Request, Segment, Trajectory, Usage


class VLLMStream:
    """One decode under way.

    Args:
        engine: Decodes.
        checks: What the request is held against.
        eos: Tokens that end an answer.
        request: What is asked.
    """

    __slots__ = (
        "_checks", "_decode", "_delivered", "_engine", "_eos", "_finish", "_prompt", "_reader",
        "_request", "_text",
    )  # fmt: skip

    def __init__(
        self, engine: Engine, checks: Checks, eos: frozenset[int], request: Request
    ) -> None:
        self._engine = engine
        self._checks = checks
        self._eos = eos
        self._request = request
        self._delivered = 0  # tokens whose chunk has been made
        self._text = ""
        self._finish: FinishReason | None = None

    async def __aenter__(self) -> Self:
        checks, request = self._checks, self._request
        self._prompt = checks.ids(request)
        params = params_of(
            checks.text, request, checks.steering(request), checks.structure(request)
        )
        self._reader = Reader(checks.text, self._prompt)
        await self._engine.ready()
        self._decode = self._engine.decode(self._prompt, params, checks.adapter)
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
                self._read(self._reason() or "abort")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._finish is not None:
            raise StopAsyncIteration
        while True:
            await self._news()
            finish = self._reason()
            if finish or (self._request.watch and len(self._decode.tokens) > self._delivered):
                return self._read(finish)

    async def _news(self) -> None:
        """Wait for more; where a grammar has led into a dead end, say so."""
        try:
            await self._decode.news()
        except BackendError as error:
            if self._request.structure is None or self._decode.finish != "error":
                raise
            stuck = BackendError(
                f"Problem {self._request.problem.id!r}: the structure of its answer cannot go on"
                f" from here with the vocabulary of {self._checks.model.name}.",
                hint="Ask for what the model's tokens can spell.",
            )
            stuck.retryable = False
            raise stuck from error

    @property
    def usage(self) -> Usage:
        """The cost so far; where the engine died and nobody had watched, its upper bound."""
        return self._checks.model.usage(
            len(self._prompt), self._decode.cached_tokens, self._generated()
        )

    @property
    def trajectory(self) -> Trajectory:
        """The prefix with what has been delivered so far; with everything after the block."""
        start, decode = self._request.trajectory, self._decode
        kept = self._delivered
        segment = Segment(
            self._text,
            tokens=tuple(decode.tokens[:kept]),
            tokenizer=self._checks.model.tokenizer,
            logprobs=self._logprobs(0, kept),
            top_logprobs=self._top_logprobs(0, kept),
        )
        return start.extend(
            segment,
            child=self._request.child,
            clock=start.clock + self._generated(),
            finish=self._finish,
        )

    def _generated(self) -> int:
        decode = self._decode
        if isinstance(decode.error, EngineDead) and not self._request.watch:
            return self._request.max_tokens
        return len(decode.tokens)

    def _reason(self) -> FinishReason | None:
        """Why the decode ended, in our words; None while it runs."""
        decode = self._decode
        if decode.finish == "stop":
            # For the tokenizer's own end-of-sequence token the engine names no reason.
            ended = decode.stop_reason is None or decode.stop_reason in self._eos
            return "stop" if ended else "step"
        if decode.finish == "length":
            return "length"
        return "abort" if decode.finish else None

    def _read(self, finish: FinishReason | None) -> Chunk:
        """Make a chunk of everything that has arrived and not been delivered."""
        # The token that ended the answer is charged, not kept: text may be appended later.
        kept = len(self._decode.tokens) - (finish == "stop")
        start = self._delivered
        new = self._decode.tokens[start:kept]
        text = self._reader.read(new, final=finish == "stop")
        self._delivered = kept
        self._text += text
        self._finish = finish
        logprobs, tops = self._logprobs(start, kept), self._top_logprobs(start, kept)
        return Chunk(text, tuple(new), finish, logprobs, tops)

    def _logprobs(self, start: int, stop: int) -> tuple[float, ...] | None:
        if self._request.logprobs is None:
            return None
        tokens, entries = self._decode.tokens[start:stop], self._decode.logprobs[start:stop]
        return tuple(entry[token].logprob for token, entry in zip(tokens, entries, strict=True))

    def _top_logprobs(self, start: int, stop: int) -> tuple[Mapping[int, float], ...] | None:
        most = self._request.logprobs
        if not most:
            return None
        return tuple(likeliest(entry, most) for entry in self._decode.logprobs[start:stop])
