"""What has arrived of one decode, whatever number of requests it took, and what it has cost.

Pure but for an event that says that something is new. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tts.backends._openai.wire import FINISHES, Piece
from tts.errors import BackendError
from tts.types import FinishReason, Request

_OPEN, _CLOSE = "<think>", "</think>"


class Draft:
    """The answer as it grows.

    Args:
        request: What was asked.
        ids: Whether token ids arrive, of which the reader makes the text.
        step_ids: Tokens that end a step.
        count: Most tokens of a text, for servers that do not count; and whether that is exact.

    Attributes:
        text: Text so far; empty where ids arrive.
        tokens: Ids so far, the end-of-sequence token included.
        logprobs: Of the tokens so far, if asked for.
        tops: The likeliest tokens of each position, if asked for.
        finish: Why it ended; None while it runs.
        error: What ended it, if a fault did.
        sent: Whether a request is with the server.
        scan: Whether stop strings are looked for here.
        base: Tokens of earlier requests, whose reply was cut.
        prompt: Prompt tokens by the server's count.
        cached: Those of them that it had in its cache.
        said: Tokens that the present request has generated, by the server's count.
        thinking: Whether a thinking part is open; None if there was none.
        over: Whether nothing more will come.
    """

    __slots__ = (
        "_base_guessed", "_count", "_ids", "_news", "_past", "_request", "_step_ids", "base",
        "cached", "error", "finish", "logprobs", "over", "prompt", "said", "scan", "sent", "text",
        "thinking", "tokens", "tops",
    )  # fmt: skip

    def __init__(
        self,
        request: Request,
        *,
        ids: bool,
        step_ids: Sequence[int] = (),
        scan: bool = False,
        count: Callable[[str], int],
    ) -> None:
        self._request = request
        self._ids = ids
        self._step_ids = step_ids
        self._count = count
        self._news = asyncio.Event()
        self._past = ""  # text behind the stop string: paid for, not kept
        self.text = ""
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.tops: list[Mapping[int, float]] = []
        self.finish: FinishReason | None = None
        self.error: BaseException | None = None
        self.sent = False
        self.scan = scan
        self.base = 0
        self.prompt: int | None = None
        self.cached = 0
        self.said: int | None = None
        self._base_guessed = False
        self.thinking: bool | None = None
        self.over = False

    @property
    def empty(self) -> bool:
        """Whether nothing has arrived."""
        return not (self.text or self.tokens)

    def add(self, piece: Piece) -> None:
        """Append what a reply says.

        Raises:
            BackendError: The server ended it for a reason that leaves no answer.
        """
        self.tokens.extend(piece.tokens)
        self.logprobs.extend(piece.logprobs)
        self.tops.extend(piece.tops)
        if not self._ids:
            self._write(piece)
        if piece.finish is not None and self.finish is None:
            self.finish = self._reason(piece)
        self._news.set()

    def count(self, usage: Mapping[str, Any]) -> None:
        """Note what the server counts."""
        if self.prompt is None and usage.get("prompt_tokens") and not self._base_guessed:
            # What an earlier request had generated is the prompt of this one, but paid already.
            self.prompt = max(0, int(usage["prompt_tokens"]) - self.base)
        if not self.base:
            details = usage.get("prompt_tokens_details") or {}
            self.cached = int(details.get("cached_tokens") or self.cached)
        if usage.get("completion_tokens") is not None:
            self.said = int(usage["completion_tokens"])

    def counted(self) -> int | None:
        """Tokens generated so far, or None if the server gives no means to tell."""
        if self._ids:
            return len(self.tokens)
        if self.said is not None:
            return self.base + self.said
        return len(self.logprobs) or None

    def generated(self) -> int:
        """Tokens generated so far; an upper bound where nothing tells them exactly."""
        most = self._request.max_tokens
        exact = self.counted()
        if exact is None and self.finish == "length":
            exact = most
        if exact is None:
            exact = self._count(self.text + self._past)
        return min(exact, most)

    @property
    def guessed(self) -> bool:
        """Whether `generated` is an estimate."""
        told = self.counted() is not None or self.finish == "length" or self.empty
        return self._base_guessed or not told

    def resume(self) -> int:
        """A reply was cut and is to be continued; returns how many tokens may still come."""
        self._base_guessed = self.guessed
        self.base = self.generated()
        self.said = None
        return self._request.max_tokens - self.base

    def check(self) -> None:
        """Refuse what no honest server sends.

        Raises:
            BackendError: The cap was ignored, or log-probabilities are missing.
        """
        counted = self.counted()
        if counted is not None and counted > self._request.max_tokens:
            raise BackendError(
                f"The server ignores max_tokens: it generated {counted} tokens, and"
                f" {self._request.max_tokens} were asked for."
            )
        lacking = self._request.logprobs is not None and not self.logprobs
        if self.finish and lacking and not self.empty:
            raise BackendError(
                "The server sent no log-probabilities, though they were asked for.",
                hint="Set backend.logprobs=false.",
            )
        if self._ids and self.finish and not self.tokens:
            raise BackendError(
                "The server sent no token ids.",
                hint="Set backend.api=chat, or use a newer vLLM (0.10.2 or later).",
            )

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come; after a fault, what has arrived is no answer."""
        if error is not None:
            self.error, self.finish = error, None
        self.over = True
        self._news.set()

    async def news(self) -> None:
        """Wait until there is more, or the end. May be cancelled without loss.

        Raises:
            TTSError: What ended the decode.
        """
        await self._news.wait()
        self._news.clear()
        if self.error is not None:
            self._news.set()
            raise self.error

    def _reason(self, piece: Piece) -> FinishReason:
        if piece.finish == "length":
            return "length"
        if piece.finish not in FINISHES:
            raise BackendError(
                f"The server ended the answer with finish reason '{piece.finish}', which leaves no"
                " answer."
            )
        if self.thinking:
            self.text += _CLOSE
            self.thinking = False
        why = piece.stop_reason
        return "step" if isinstance(why, str) or why in self._step_ids else "stop"

    def _write(self, piece: Piece) -> None:
        if self.finish is not None:
            self._past += piece.text
            return
        before = len(self.text)
        if piece.thought:
            self.text += piece.thought if self.thinking else _OPEN + piece.thought
            self.thinking = True
        if piece.text:
            self.text += _CLOSE + piece.text if self.thinking else piece.text
            self.thinking = False if self.thinking else self.thinking
        if self.scan:
            end = stop_end(self.text, self._request.stop, before)
            if end is not None:
                self.text, self._past = self.text[:end], self.text[end:]
                self.finish = "step"


def stop_end(text: str, stop: Sequence[str], checked: int = 0) -> int | None:
    """Where the stop string ends that is spelled out first, or None.

    Args:
        text: To be searched.
        stop: Stop strings, none of them empty.
        checked: Characters at the start in which none ends.
    """
    ends = []
    for string in stop:
        at = text.find(string, max(0, checked - len(string) + 1))
        if at >= 0:
            ends.append(at + len(string))
    return min(ends, default=None)
