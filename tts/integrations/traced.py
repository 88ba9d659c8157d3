"""A backend whose requests are spans of OpenTelemetry: a wrapper of any other.

    backend = Traced(backend)

By itself it is all that an application needs: its spans are children of whatever span is current
where a strategy is called, also across tasks, and go to the application's own tracer provider.
Prompts and answers are left out unless `content` is true. See `tts.integrations.tracing` for spans
of problems and strategies around them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from tts.errors import BackendError
from tts.integrations import _words as words
from tts.integrations._adopt import adopt
from tts.protocols import Backend, Reads, Stream
from tts.types import Capability, ModelInfo, Problem, Request, Segment, Trajectory, Usage

Parent = Callable[[Problem], Context | None]
"""Says under what a request of a problem belongs; None for the current span."""


def _current(problem: Problem) -> None:
    return None


class Traced:
    """A backend whose requests are traced. Implements `tts.protocols.Backend`.

    A span lasts from the opening of a stream until its block is left. It holds what was asked for,
    the tokens, and how it ended: `abort` where the stream was left before its end, an error where
    the backend failed.

    Args:
        inner: The backend that does the work; what else it can do, this one can.
        content: Whether prompts and answers are kept.
        tracer: Makes the spans; that of the application's provider by default.
        parent: Says under what a request belongs.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        content: bool = False,
        tracer: Tracer | None = None,
        parent: Parent = _current,
    ) -> None:
        self.inner = inner
        self.content = content
        self.tracer = tracer or trace.get_tracer("tts")
        self.parent = parent
        adopt(self, inner, methods_only=True)
        if isinstance(inner, Reads):
            vars(self)["read"] = self._read

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Those of the inner backend."""
        return self.inner.capabilities

    @property
    def model(self) -> ModelInfo:
        """That of the inner backend."""
        return self.inner.model

    def identity(self) -> Mapping[str, Any]:
        """That of the inner backend."""
        return self.inner.identity()

    def prompt_tokens(self, problem: Problem, trajectory: Trajectory) -> int:
        """As the inner backend counts them."""
        return self.inner.prompt_tokens(problem, trajectory)

    def open(self, request: Request) -> AbstractAsyncContextManager[Stream]:
        """Start a decode, and a span around it."""
        return _TracedStream(self, request)

    async def start(self) -> None:
        """Start the inner backend."""
        await self.inner.start()

    async def aclose(self) -> None:
        """Close the inner backend."""
        await self.inner.aclose()

    async def _read(
        self, problem: Problem, trajectory: Trajectory, given: Segment, *, top: int = 0
    ) -> tuple[Segment, Usage]:
        """Read a text, as the inner backend does, within a span."""
        assert isinstance(self.inner, Reads)
        request = Request(problem, trajectory)
        span = self.begin("read", request)
        with trace.use_span(span, end_on_exit=True):
            segment, usage = await self.inner.read(problem, trajectory, given, top=top)
            span.set_attributes(words.spent(usage))
        return segment, usage

    def begin(self, name: str, request: Request) -> Span:
        """Start the span of a request."""
        return self.tracer.start_span(
            f"{name} {self.model.name}",
            context=self.parent(request.problem),
            kind=SpanKind.CLIENT,
            attributes=words.asked(self.inner, request),
        )


class _TracedStream:
    """The block around one traced decode."""

    def __init__(self, backend: Traced, request: Request) -> None:
        self._backend, self._request = backend, request

    async def __aenter__(self) -> Stream:
        backend, request = self._backend, self._request
        self._span = span = backend.begin(words.operation(request.problem), request)
        if backend.content and span.is_recording():
            span.set_attributes(words.texts_asked(request))
        self._block = backend.inner.open(request)
        try:
            # Whatever the backend's client traces by itself belongs under this span.
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                self._stream = await self._block.__aenter__()
        except BaseException as error:
            self._end(error, opened=False)
            raise
        return self._stream

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What was raised within the block is the strategy's affair, unless the backend failed.
        fault: BaseException | None = error if isinstance(error, BackendError) else None
        try:
            await self._block.__aexit__(kind, error, trace)
        except BaseException as later:
            fault = later
            raise
        finally:
            self._end(fault, opened=True)

    def _end(self, error: BaseException | None, *, opened: bool) -> None:
        span = self._span
        if opened:
            span.set_attributes(words.answered(self._stream))
            if self._backend.content and span.is_recording():
                texts = words.texts_answered(self._request, self._stream.trajectory)
                span.set_attributes(texts)
        if isinstance(error, Exception):
            fail(span, error)
        elif error is not None:
            span.set_attribute("tts.cancelled", True)
        span.end()


def fail(span: Span, error: Exception) -> None:
    """Say on a span that a fault ended what it stands for."""
    span.record_exception(error)
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR, str(error)))
