"""Who is told how a run goes: the display; a tracker, traces and metrics if they were chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tts.cli.build import build
from tts.cli.workshop import Work
from tts.errors import ConfigError
from tts.evaluation import store as files
from tts.evaluation.progress import Display
from tts.evaluation.records import Outcome
from tts.evaluation.runner import Arm, Watcher
from tts.evaluation.summary import Row
from tts.types import Event

if TYPE_CHECKING:
    from tts.integrations.prometheus import Prometheus
    from tts.integrations.tracing import Tracing
    from tts.integrations.tracking import Chapter, Journal

KEPT = (files.SUMMARY, files.TABLE, files.PICTURE, files.CLAIMS, files.CONFIG, files.PROVENANCE)
"""Files of a run that a tracker keeps, as far as they are there."""


class Everyone:
    """Several watchers as one. Implements `tts.evaluation.runner.Watcher`."""

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    def begin(self, arm: Arm, total: int, done: Sequence[Outcome]) -> None:
        """Tell all that an arm starts."""
        for watcher in self._watchers:
            watcher.begin(arm, total, done)

    def on_event(self, event: Event) -> None:
        """Tell all that something happened."""
        for watcher in self._watchers:
            watcher.on_event(event)

    def keep(self, outcome: Outcome) -> None:
        """Tell all that a problem was recorded."""
        for watcher in self._watchers:
            watcher.keep(outcome)

    def end(self, row: Row) -> None:
        """Tell all that an arm has ended."""
        for watcher in self._watchers:
            watcher.end(row)


class Observers:
    """Those of a command, all its jobs together; use it as a block.

    Args:
        config: Of the first job; its `tracker`, `tracing` and `metrics` count for all.
        works: What is to be evaluated.
        display: Is told in any case.

    Raises:
        ConfigError: Tracker, traces or metrics cannot be had; nothing was spent.
    """

    def __init__(self, config: Mapping[str, Any], works: Sequence[Work], display: Display) -> None:
        self._display = display
        self._chapters: dict[int, Chapter] = {}
        self._tracing: Tracing | None = build("tracing", config.get("tracing"))
        if self._tracing is not None and any(work.arm.executor for work in works):
            raise ConfigError(
                "Traces of problems that are solved by workers elsewhere cannot be had.",
                hint="Set tracing=none, or executor=local.",
            )
        self._journal = self._opened(build("tracker", config.get("tracker")))
        # Last, as it serves from now on.
        self._metrics: Prometheus | None = build("metrics", config.get("metrics"))
        if self._metrics is not None:
            display.say(f"Metrics: {self._metrics.url}/metrics; `tts top` shows them.")
            if any(work.arm.executor for work in works):
                display.say("They show the progress, and not the engines of workers elsewhere.")

    def _opened(self, tracker: Any) -> Journal | None:
        if tracker is None:
            return None
        from tts.integrations.tracking import Journal

        return Journal(tracker, self._display.say)

    @contextmanager
    def watching(self, work: Work) -> Iterator[tuple[Arm, Watcher]]:
        """A block in which an arm is evaluated: the arm to evaluate, and whom to tell."""
        told: list[Watcher] = [self._display]
        if self._journal is not None:
            self._chapters[id(work)] = chapter = self._journal.chapter()
            told.append(chapter)
        if self._metrics is not None:
            told.append(self._metrics.panel(str(work.job.folder)))
        if self._tracing is None:
            yield work.arm, Everyone(*told) if len(told) > 1 else self._display
            return
        with self._tracing.arm(work.arm) as traced:
            yield traced, Everyone(*told, self._tracing)

    def report(self, works: Sequence[Work], folder: Path) -> None:
        """Their run is over, and its reports are written."""
        kept = [folder / name for name in KEPT if (folder / name).exists()]
        for work in works:
            if chapter := self._chapters.get(id(work)):
                chapter.files(kept)
                chapter.close(failed=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for chapter in self._chapters.values():
            chapter.close(failed=error is not None)
        if self._journal is not None:
            self._journal.close()
        if self._tracing is not None:
            self._tracing.close()
        if self._metrics is not None:
            self._metrics.close()
