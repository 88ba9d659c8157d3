"""Engines and runs as a page of Prometheus metrics, on a port of this machine.

    with Prometheus(port=9400):
        async with VLLMBackend("mini-reasoner") as backend:
            ...

Everything is read when the page is asked for, in the server's own thread; nobody who works does any
of it. The page shows all engines of this process, and the progress of what `panel` watches. The
process leaves a note for `tts top`, so that it is found without an address.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from tts.engine.census import engines
from tts.engine.histogram import BOUNDS, Histogram
from tts.engine.notices import leave, take_back
from tts.errors import ConfigError
from tts.evaluation.provenance import command_line
from tts.evaluation.records import Outcome
from tts.evaluation.runner import Arm
from tts.evaluation.summary import Row
from tts.evaluation.tally import Tally
from tts.integrations._figures import ENGINE, ENGINE_LABELS, RUN, RUN_LABELS, Figure, Progress
from tts.types import Event, Spent

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

NOTE = "metrics"
"""The kind of the note that says where a page is."""

_ANYWHERE = ("", "0.0.0.0", "::")
_T = TypeVar("_T")


class Prometheus:
    """Serves a page of metrics until it is closed.

    Args:
        port: Of the page; 0 for any that is free.
        host: Whose requests are answered: 127.0.0.1 for this machine's alone. The page has no
            password.

    Attributes:
        url: Of the page, without `/metrics`.

    Raises:
        ConfigError: The port is taken, or the host is no address of this machine.
    """

    def __init__(self, port: int = 9400, host: str = "127.0.0.1") -> None:
        from prometheus_client import CollectorRegistry, start_http_server

        if not 0 <= port <= 65535:
            raise ConfigError(
                f"metrics.port is {port}; it must be 0 to 65535.", hint="Set metrics.port=9400."
            )
        self._panels: dict[tuple[str, str], Progress] = {}
        registry = CollectorRegistry()
        registry.register(_Page(self._panels))
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise ConfigError(
                f"Metrics cannot be served on {host}:{port}: {error.strerror or error}.",
                hint="Set metrics.port to another one, or to 0 for any that is free.",
            ) from error
        self._port = self._server.server_port
        self.url = f"http://{'127.0.0.1' if host in _ANYWHERE else host}:{self._port}"
        leave(NOTE, self._port, {"url": self.url, "what": shlex.join(command_line())})
        self._open = True

    def panel(self, run: str) -> Panel:
        """What watches an arm of a run, so that the page shows its progress.

        Args:
            run: Name of the run, such as its folder.
        """
        return Panel(run, self._panels)

    def close(self) -> None:
        """Serve no more; safe to call again."""
        if self._open:
            self._open = False
            take_back(NOTE, self._port)
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Panel:
    """Follows one arm. Implements `tts.evaluation.runner.Watcher`."""

    def __init__(self, run: str, panels: dict[tuple[str, str], Progress]) -> None:
        self._run, self._panels = run, panels
        self._progress: Progress | None = None

    def begin(self, arm: Arm, total: int, done: Sequence[Outcome]) -> None:
        """The arm starts, with what earlier sittings have done."""
        tally = Tally(arm, total, time.monotonic)
        tally.begin(done)
        self._progress = Progress(self._run, tally)
        self._panels[self._run, arm.label] = self._progress

    def on_event(self, event: Event) -> None:
        """Something was spent; other events are of no concern here."""
        if isinstance(event, Spent) and self._progress is not None:
            self._progress.tally.spent += event.usage

    def keep(self, outcome: Outcome) -> None:
        """A problem was recorded."""
        if self._progress is not None:
            self._progress.tally.count(outcome)

    def end(self, row: Row) -> None:
        """The arm has ended."""
        if self._progress is not None:
            self._progress.ended = True


class _Page:
    """What Prometheus's library asks for the figures."""

    def __init__(self, panels: Mapping[tuple[str, str], Progress]) -> None:
        self._panels = panels

    def describe(self) -> Sequence[Metric]:
        """Nothing beforehand: asking for the figures is how the library would find out."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All figures, as they are now."""
        there = [((e.model, e.role, str(e.number)), e) for e in engines()]
        arms = [((p.run, p.tally.label), p) for p in list(self._panels.values())]
        yield from _families(ENGINE, ENGINE_LABELS, there)
        yield from _families(RUN, RUN_LABELS, arms)


def _families(
    figures: Sequence[Figure[_T]],
    labels: Sequence[str],
    things: Sequence[tuple[tuple[str, ...], _T]],
) -> Iterator[Metric]:
    """The figures of some things, each with its labels."""
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    for figure in figures:
        names = [*labels, figure.label] if figure.label else list(labels)
        if figure.kind == "histogram":
            buckets = HistogramMetricFamily(figure.name, figure.help, labels=names)
            for said, thing in things:
                found = figure.read(thing)
                assert isinstance(found, Histogram)
                buckets.add_metric(said, *_buckets(found))
            yield buckets
            continue
        family = (CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily)(
            figure.name, figure.help, labels=names
        )
        for said, thing in things:
            values = figure.read(thing)
            assert not isinstance(values, Histogram)
            for value, number in values.items():
                if number is not None:
                    family.add_metric([*said, value] if figure.label else said, float(number))
        yield family


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Counts up to each bound, and the sum, as the library takes them."""
    counts, total = list(histogram.counts), histogram.sum
    bounds = [*map(str, BOUNDS), "+Inf"]
    return list(zip(bounds, map(float, accumulate(counts)), strict=True)), total
