"""Several looks at the same pages: what goes on a second, and what holds of late."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tts.cli._top_reading import Buckets, EngineView, Page

WINDOW = 60.0
"""Seconds that latencies and rates of hits look back."""

_POINTS = 60  # of the past that are drawn


@dataclass(frozen=True, slots=True)
class Pace:
    """How an engine does.

    Attributes:
        prompt: Prompt tokens a second since the last look; None at the first one.
        generation: Generated tokens a second since the last look; None at the first one.
        past: Generated tokens a second at each look, the oldest first.
        hit_rate: Part of the tokens looked up in the prefix cache that were found, of late; None if
            none were looked up.
        acceptance: Part of the drafted tokens that were accepted, of late; None without drafts.
        median: Seconds of a request, of late: half take longer; None if none has ended.
        slow: The same, of which one in twenty takes longer.
        first: Seconds to the first token, of late, of which half take longer.
    """

    prompt: float | None
    generation: float | None
    past: tuple[float, ...]
    hit_rate: float | None
    acceptance: float | None
    median: float | None
    slow: float | None
    first: float | None


class Watch:
    """Remembers what pages said."""

    def __init__(self) -> None:
        self._pages: dict[str, deque[Page]] = {}
        self._past: dict[tuple[str, str, str, str], deque[float]] = {}

    def take(self, pages: Iterable[Page]) -> None:
        """Keep a look at each page; those that are no longer looked at are forgotten."""
        pages = list(pages)
        for url in set(self._pages) - {page.url for page in pages}:
            del self._pages[url]
        for page in pages:
            if page.error:
                continue
            kept = self._pages.setdefault(page.url, deque())
            kept.append(page)
            while len(kept) > 2 and kept[0].at < page.at - WINDOW:
                kept.popleft()
            for engine in page.engines:
                rate = self._rate(page.url, engine, "generation_tokens")
                if rate is not None:
                    key = (page.url, engine.model, engine.role, engine.number)
                    self._past.setdefault(key, deque(maxlen=_POINTS)).append(rate)

    def pace(self, url: str, engine: EngineView) -> Pace:
        """How an engine of a page does."""
        oldest = self._earlier(url, engine, first=True)
        latency = engine.latency.since(oldest.latency if oldest else Buckets())
        first = engine.first.since(oldest.first if oldest else Buckets())
        past = self._past.get((url, engine.model, engine.role, engine.number), ())
        return Pace(
            prompt=self._rate(url, engine, "prompt_tokens"),
            generation=self._rate(url, engine, "generation_tokens"),
            past=tuple(past),
            hit_rate=_part(engine, oldest, "hits", "queries"),
            acceptance=_part(engine, oldest, "accepted", "drafted"),
            median=latency.quantile(0.5),
            slow=latency.quantile(0.95),
            first=first.quantile(0.5),
        )

    def _earlier(self, url: str, engine: EngineView, *, first: bool) -> EngineView | None:
        """The engine at the first look that is kept, or at the one before the last."""
        kept: Sequence[Page] = self._pages.get(url, ())
        return _find(kept[0 if first else -2], engine) if len(kept) > 1 else None

    def _rate(self, url: str, engine: EngineView, field: str) -> float | None:
        """How fast a count has risen since the last look."""
        before = self._earlier(url, engine, first=False)
        if before is None:
            return None
        kept = self._pages[url]
        more, seconds = engine.get(field) - before.get(field), kept[-1].at - kept[-2].at
        # A count that falls belongs to another process, which has taken the port over.
        return more / seconds if seconds > 0 and more >= 0 else None


def _find(page: Page, engine: EngineView) -> EngineView | None:
    wanted = engine.model, engine.role, engine.number
    return next((e for e in page.engines if (e.model, e.role, e.number) == wanted), None)


def _part(engine: EngineView, oldest: EngineView | None, some: str, every: str) -> float | None:
    """The part that one count is of another, of late; of all time if there was nothing of late."""
    if oldest is not None:
        more = engine.get(every) - oldest.get(every)
        if more > 0:
            return max(0.0, (engine.get(some) - oldest.get(some)) / more)
    return engine.get(some) / engine.get(every) if engine.get(every) else None
