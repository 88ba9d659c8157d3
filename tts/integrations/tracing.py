"""Spans of OpenTelemetry: arm, problem, and the requests in it (`Traced`).

    tracing = Tracing()  # or, of an application's own: Tracing(provider.get_tracer("tts"))
    result = await solve(problem, **tracing.options(setup))

A problem's span is current while its strategy works, so whatever else is traced there (a verifier's
client, a data base) is a part of it. What the strategy publishes, what its controller decides and
what is judged are events on it. Knows nothing of where spans go: see `tts.integrations.exporting`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, TypeVar

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Tracer

from tts.evaluation.records import Outcome
from tts.evaluation.runner import Arm
from tts.evaluation.summary import Row
from tts.integrations import _words as words
from tts.integrations._adopt import adopt
from tts.integrations.traced import Traced, fail
from tts.protocols import Backend, Env, Strategy
from tts.solve import Setup
from tts.types import Capability, Decided, Done, Event, Grant, Problem, Published, Result, Spent

_PROBLEM = context.create_key("tts-problem")
_B = TypeVar("_B", Backend, Backend | None)


class Tracing:
    """Traces runs and problems. Implements `tts.evaluation.runner.Watcher`.

    Problems that it traces at the same time have names of their own (`Problem.name`).

    Args:
        tracer: Makes the spans; that of the application's provider by default.
        content: Whether prompts and answers are kept.
        shutdown: Called by `close`.
    """

    def __init__(
        self,
        tracer: Tracer | None = None,
        *,
        content: bool = False,
        shutdown: Callable[[], None] = lambda: None,
    ) -> None:
        self._tracer = tracer or trace.get_tracer("tts")
        self._content = content
        self._shutdown = shutdown
        self._open: dict[str, Span] = {}  # by the problem's name, until it is done

    def options(self, setup: Setup) -> dict[str, Any]:
        """What `solve` and `solve_all` take, of a setup that is traced."""
        setup = self.setup(setup)
        return {f.name: getattr(setup, f.name) for f in fields(setup)}

    def setup(self, setup: Setup) -> Setup:
        """A setup whose problems and requests are traced."""
        known: dict[int, Traced] = {}

        def traced(backend: _B) -> _B:
            if backend is None:
                return backend
            made = Traced(
                backend, content=self._content, tracer=self._tracer, parent=self._context_of
            )
            return known.setdefault(id(backend), made)

        told = setup.on_event

        def on_event(event: Event) -> None:
            self.on_event(event)
            if told is not None:
                told(event)

        return replace(
            setup,
            strategy=_TracedStrategy(setup.strategy, self),
            backend=traced(setup.backend),
            verifier_backend=traced(setup.verifier_backend),
            draft=traced(setup.draft),
            on_event=on_event,
        )

    @contextmanager
    def arm(self, arm: Arm) -> Iterator[Arm]:
        """A block with a traced arm; what is evaluated in it belongs to one span."""
        about = {"tts.arm": arm.label, "tts.strategy": arm.names.strategy_name}
        with self._tracer.start_as_current_span(f"evaluate {arm.label}", attributes=about):
            try:
                yield replace(arm, setup=self.setup(arm.setup))
            finally:
                self._leave_all()

    @contextmanager
    def problem(self, problem: Problem, strategy: str) -> Iterator[None]:
        """A block in which a problem is solved; its span ends when the problem is done."""
        about = {**words.of_problem(problem), "tts.strategy": strategy}
        span = self._tracer.start_span(f"solve {strategy}", attributes=about)
        self._open[problem.name] = span
        here = context.set_value(_PROBLEM, span, trace.set_span_in_context(span))
        token = context.attach(here)
        try:
            yield
        finally:
            context.detach(token)

    def _context_of(self, problem: Problem) -> Context | None:
        """Where a request belongs that is sent outside of the block, such as a landing."""
        span = self._open.get(problem.name)
        if span is None or context.get_value(_PROBLEM) is span:
            return None
        return trace.set_span_in_context(span)

    # --- events ---

    def on_event(self, event: Event) -> None:
        """Something happened; it is told on the span of the problem in whose task it did."""
        if isinstance(event, Done):
            self._done(event.result)
            return
        span = context.get_value(_PROBLEM)
        if isinstance(span, Span):
            self._tell(span, event)

    def _tell(self, span: Span, event: Event) -> None:
        if isinstance(event, Published):
            candidate = event.candidate
            about: dict[str, Any] = {"tts.answered": candidate.answer is not None}
            if candidate.score is not None:
                about["tts.score"] = candidate.score.raw
            if self._content and candidate.answer is not None:
                about["tts.answer"] = candidate.answer.text
            span.add_event("published", about)
        elif isinstance(event, Decided):
            granted = isinstance(event.decision, Grant)
            samples = event.decision.samples if isinstance(event.decision, Grant) else 0
            about = {"tts.samples": samples, "tts.reason": event.decision.reason}
            span.add_event("granted" if granted else "stopped", about)
        elif isinstance(event, Spent) and event.usage.verifier_calls:
            span.add_event("judged", {"tts.trajectories": event.usage.verifier_calls})

    def _done(self, result: Result) -> None:
        name = Problem(result.problem_id, "?", repeat=result.repeat).name
        span = self._open.pop(name, None)
        if span is None:
            return
        span.set_attributes(words.ended(result))
        if result.error is not None:
            fail(span, result.error)
        span.end()

    # --- watching a run; all is told by the events ---

    def begin(self, arm: Arm, total: int, done: object) -> None:
        """An arm starts."""
        trace.get_current_span().set_attribute("tts.problems", total)

    def keep(self, outcome: Outcome) -> None:
        """A problem was recorded."""

    def end(self, row: Row) -> None:
        """An arm has ended."""
        span = trace.get_current_span()
        span.set_attribute("tts.failed", row.n_failed)
        if row.accuracy is not None:
            span.set_attribute("tts.accuracy", row.accuracy)

    def close(self) -> None:
        """End what is open, and have all spans sent; nothing is traced afterwards."""
        self._leave_all()
        self._shutdown()

    def _leave_all(self) -> None:
        """End the spans of problems that were cancelled: nobody tells of those."""
        for span in self._open.values():
            span.set_attribute("tts.cancelled", True)
            span.end()
        self._open.clear()


class _TracedStrategy:
    """A strategy each of whose calls is a span. Whatever else the other one offers, it does."""

    requires: frozenset[Capability]

    def __init__(self, inner: Strategy, tracing: Tracing) -> None:
        self._inner, self._tracing = inner, tracing
        self.requires = inner.requires
        adopt(self, inner)

    async def __call__(self, problem: Problem, env: Env) -> Result:
        with self._tracing.problem(problem, type(self._inner).__name__):
            return await self._inner(problem, env)
