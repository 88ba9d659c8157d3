"""One request in flight, whatever it asks for.

vLLM's generator runs in a task of its own, because cancelling the generator throws away what it has
generated, while aborting the request hands it over. So whoever waits here may be cancelled at any
time, and `close` still learns all there is.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any

from tts.errors import BackendError, ConfigError, EngineDead, TTSError

_ABORT_EVERY_SECONDS = 0.05
_ABORT_TIMES = 200


def in_ids(prompt: list[int]) -> dict[str, Any]:
    """A prompt of token ids in vLLM's words.

    Its type says that nothing is left to be made of it. Otherwise vLLM hands each prompt to a
    thread first, in case it must be tokenized, which takes longer than all the rest of sending it.
    """
    return {"type": "token", "prompt_token_ids": prompt}


class Flight(ABC):
    """A request, from sending it to its last output.

    Args:
        llm: The running `AsyncLLM`.
        request_id: Of the request, unique to it.
        outputs: vLLM's generator of the request's outputs, not begun yet.

    Attributes:
        cached_tokens: Prompt tokens that came from the prefix cache.
        error: What ended it, if a fault did.
    """

    __slots__ = ("_called_off", "_llm", "_news", "_request_id", "_task", "cached_tokens", "error")

    def __init__(self, llm: Any, request_id: str, outputs: AsyncIterator[Any]) -> None:
        self._llm = llm
        self._request_id = request_id
        self._news = asyncio.Event()
        self.cached_tokens = 0
        self.error: TTSError | None = None
        self._called_off = False
        self._task = asyncio.create_task(self._pump(outputs))

    @abstractmethod
    def _take(self, output: Any) -> None:
        """Keep what an output of vLLM's brings."""

    @property
    @abstractmethod
    def complete(self) -> bool:
        """Whether the engine has said how it ended."""

    def when_done(self, call: Callable[[], None]) -> None:
        """Have something called when it has ended."""
        self._task.add_done_callback(lambda _: call())

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._task.done()

    @property
    def ending(self) -> str:
        """How it ended, in vLLM's words; those that a fault ended are errors."""
        return "error" if self.error is not None else self._reason or "stop"

    @property
    def _reason(self) -> str | None:
        """VLLM's finish reason, where it gives one."""
        return None

    async def over(self) -> None:
        """Wait until it has ended, well or not; leaves it alone if this is cancelled."""
        await asyncio.wait({self._task})

    async def news(self) -> None:
        """Wait until there is another output, or the end. May be cancelled without loss.

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

    async def ended(self) -> None:
        """Wait for the end, and abort it if this is cancelled. Raises as `news` does."""
        try:
            await self.news()
            while not self.done:
                await self.news()
        finally:
            await self.close()

    async def close(self) -> None:
        """Abort what still runs; afterwards all that it has brought is here.

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
        self._called_off = True
        # An abort that overtakes its own request is lost, so it is said again until it is heard.
        for _ in range(_ABORT_TIMES):
            with contextlib.suppress(Exception):  # a dead engine ends the pump by itself
                await self._llm.abort(self._request_id)
            done, _pending = await asyncio.wait({self._task}, timeout=_ABORT_EVERY_SECONDS)
            if done:
                return
        self._task.cancel()
        self.error = EngineDead("The engine did not answer an abort within ten seconds.")

    async def _pump(self, outputs: AsyncIterator[Any]) -> None:
        try:
            async for output in outputs:
                self._take(output)
                self._news.set()
            if not self.complete:
                self.error = BackendError("The engine ended a request without saying why.")
            elif self._reason == "abort" and not self._called_off:
                self.error = BackendError(
                    "The engine has called off a request by itself: its process was told to end."
                )
        except Exception as error:
            self.error = translate(error)
        finally:
            self._news.set()


def translate(error: Exception) -> TTSError:
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
