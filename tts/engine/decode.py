"""One request in flight.

vLLM's generator runs in a task of its own, because cancelling the generator throws away what it has
generated, while aborting the request hands it over. So whoever waits here may be cancelled at any
time, and `close` still learns every token.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from tts.errors import BackendError, ConfigError, EngineDead, TTSError

_ABORT_EVERY_SECONDS = 0.05
_ABORT_TIMES = 200


class Decode:
    """A request, from sending it to its last token.

    Attributes:
        tokens: Token ids so far, the end-of-sequence token included. Where the request asks for
            one final output, they arrive together at the end.
        logprobs: For each token vLLM's mapping from id to `Logprob`, if asked for.
        cached_tokens: Prompt tokens that came from the prefix cache.
        finish: vLLM's finish reason; None while it runs.
        stop_reason: The stop token's id, the stop string, or None.
        error: What ended it, if a fault did.
    """

    __slots__ = (
        "_llm", "_news", "_request_id", "_task", "cached_tokens", "error", "finish", "logprobs",
        "stop_reason", "tokens",
    )  # fmt: skip

    def __init__(self, llm: Any, prompt: list[int], params: Any, request_id: str) -> None:
        self._llm = llm
        self._request_id = request_id
        self._news = asyncio.Event()
        self.tokens: list[int] = []
        self.logprobs: list[Any] = []
        self.cached_tokens = 0
        self.finish: str | None = None
        self.stop_reason: int | str | None = None
        self.error: TTSError | None = None
        self._task = asyncio.create_task(self._pump(prompt, params))

    def when_done(self, call: Callable[[], None]) -> None:
        """Have something called when it has ended."""
        self._task.add_done_callback(lambda _: call())

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._task.done()

    async def news(self) -> None:
        """Wait until there are more tokens, or the end. May be cancelled without loss.

        Raises:
            EngineDead: The engine has died.
            BackendError: The engine failed on this request.
            ConfigError: The engine refused the request.
        """
        await self._news.wait()
        self._news.clear()
        if self.error is not None:
            self._news.set()
            raise self.error

    async def close(self) -> None:
        """Abort what still runs; afterwards every token it has generated is here.

        If the caller is cancelled meanwhile, this ends first: the engine answers an abort within
        a step.
        """
        if self._task.done():
            return
        closing = asyncio.ensure_future(self._abort())
        cancelled: asyncio.CancelledError | None = None
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _abort(self) -> None:
        # An abort that overtakes its own request is lost, so it is said again until it is heard.
        for _ in range(_ABORT_TIMES):
            with contextlib.suppress(Exception):  # a dead engine ends the pump by itself
                await self._llm.abort(self._request_id)
            done, _pending = await asyncio.wait({self._task}, timeout=_ABORT_EVERY_SECONDS)
            if done:
                return
        self._task.cancel()
        self.error = EngineDead("The engine did not answer an abort within ten seconds.")

    async def _pump(self, prompt: list[int], params: Any) -> None:
        try:
            generator = self._llm.generate({"prompt_token_ids": prompt}, params, self._request_id)
            async for output in generator:
                self._take(output)
                self._news.set()
            if self.finish in (None, "error"):
                self.error = BackendError("The engine ended a request without saying why.")
        except Exception as error:
            self.error = _translate(error)
        finally:
            self._news.set()

    def _take(self, output: Any) -> None:
        piece = output.outputs[0]
        self.tokens.extend(piece.token_ids)
        if piece.logprobs:
            self.logprobs.extend(piece.logprobs)
        self.cached_tokens = output.num_cached_tokens or 0
        if piece.finish_reason is not None:
            self.finish = piece.finish_reason
            self.stop_reason = piece.stop_reason


def _translate(error: Exception) -> TTSError:
    """Our name for a fault of vLLM's. Its classes have moved between versions, their names not."""
    names = {base.__name__ for base in type(error).__mro__}
    if "EngineDeadError" in names:
        return EngineDead(
            "The engine's process has died; what was in flight is lost.",
            hint="The next request starts it again, once.",
        )
    if isinstance(error, ValueError) or "VLLMValidationError" in names:
        return ConfigError(f"The engine refused the request: {error}")
    return BackendError(f"The engine failed on a request: {error.__cause__ or error}")
