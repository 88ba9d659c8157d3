"""One picture of what runs on this machine: a table of engines, and one of runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tts.cli._top_reading import EngineView, Page, RunView
from tts.cli._top_watch import Pace, Watch
from tts.evaluation.progress import spoken

WIDE = 110
"""Columns of a terminal from which more is shown."""

HOW = "tts run metrics=prometheus …"
"""What starts something that can be shown."""

_T = TypeVar("_T")
Column: TypeAlias = tuple[str, Literal["left", "right"], Callable[[_T], str | Text]]
"""Heading, side, and what stands in it."""

_LEAST = 6  # columns of a name
_BLOCKS = " ▁▂▃▄▅▆▇█"
_COLOURS = {
    "running": "green", "paused": "yellow", "asleep": "cyan", "dead": "bold red",
    "starting": "yellow",
}  # fmt: skip


def picture(pages: Sequence[Page], watch: Watch, console: Console, when: str) -> RenderableType:
    """What some pages say.

    Args:
        pages: One look at each.
        watch: What they have said before, this look included.
        console: Where the picture will be shown; decides how much is in it.
        when: The time, for the heading.
    """
    there = [(page, engine) for page in pages for engine in page.engines]
    arms = [(page, run) for page in pages for run in page.runs]
    heading = Text(f"tts top  {when}  ", style="bold")
    heading.append(f"engines {len(there)}, arms {len(arms)}", style="not bold")
    parts: list[RenderableType] = [heading]
    parts.extend(_source(page) for page in pages)
    if there:
        drafts = any(engine.get("drafted") for _, engine in there)
        paces = [(engine, watch.pace(page.url, engine)) for page, engine in there]
        parts += ["", _engines(paces, console.width, drafts=drafts)]
    if arms:
        parts += ["", _runs([run for _, run in arms], console.width)]
    if not pages:
        parts += ["", Text(f"Nothing shows its metrics on this machine. Start it with: {HOW}")]
    return Group(*parts)


def _source(page: Page) -> Text:
    line = Text(f"{page.url}", style="dim", no_wrap=True, overflow="ellipsis")
    if page.error:
        line.append(f"  does not answer: {page.error}", style="not dim red")
    if page.process is not None:
        line.append(f"  process {page.process}")
    if page.what:
        line.append(f"  {page.what}")
    return line


def _table(columns: Sequence[Column[_T]], things: Sequence[_T], width: int) -> Table:
    """A row for each thing. Where there is too little room, only the first column gives way."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    cells = [[show(thing) for thing in things] for _, _, show in columns]
    widths = [
        max(len(name), *(cell_len(str(cell)) for cell in shown))
        for (name, _, _), shown in zip(columns, cells, strict=True)
    ]
    left = width - sum(widths[1:]) - len(columns)
    widths[0] = max(_LEAST, min(widths[0], left))
    for (name, justify, _), most in zip(columns, widths, strict=True):
        table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis", width=most)
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table


def _engines(paces: Sequence[tuple[EngineView, Pace]], width: int, *, drafts: bool) -> Table:
    wide = width >= WIDE
    columns: list[Column[tuple[EngineView, Pace]]] = [
        ("engine", "left", lambda ep: _short(ep[0])),
        ("state", "left", lambda ep: Text(ep[0].state, style=_COLOURS.get(ep[0].state, ""))),
        ("run", "right", lambda ep: f"{ep[0].get('running'):.0f}"),
        ("wait", "right", lambda ep: f"{ep[0].get('waiting') + ep[0].get('held'):.0f}"),
        ("KV", "right", lambda ep: _filled(ep[0].get("cache_usage"), wide=wide)),
        ("hit", "right", lambda ep: _percent(ep[1].hit_rate)),
        ("prompt/s", "right", lambda ep: _rate(ep[1].prompt)),
        ("gen/s", "right", lambda ep: _rate(ep[1].generation)),
        ("p50", "right", lambda ep: _seconds(ep[1].median)),
        ("p95", "right", lambda ep: _seconds(ep[1].slow)),
    ]
    if wide:
        columns.insert(8, ("", "left", lambda ep: Text(sparkline(ep[1].past, 16), style="green")))
        columns.append(("first", "right", lambda ep: _seconds(ep[1].first)))
    if drafts:
        columns.insert(6, ("acc", "right", lambda ep: _percent(ep[1].acceptance)))
    return _table(columns, paces, width)


def _runs(runs: Sequence[RunView], width: int) -> Table:
    wide = width >= WIDE
    columns: list[Column[RunView]] = [
        ("arm", "left", lambda r: _arm(r, wide=wide)),
        ("", "left", lambda r: bar(_done(r), 20 if wide else 10)),
        ("done", "right", lambda r: f"{_of(r, 'done'):,.0f}/{_of(r, 'total'):,.0f}"),
        ("failed", "right", lambda r: f"{_of(r, 'failed'):,.0f}"),
        ("right", "right", lambda r: _percent(_accuracy(r))),
        ("tokens", "right", lambda r: _count(_of(r, "completion_tokens"))),
        ("left", "right", _left),
    ]
    if any(_of(run, "usd") for run in runs):
        columns.insert(6, ("$", "right", lambda r: f"{_of(r, 'usd'):,.2f}"))
    if any("budget_left" in run.values for run in runs):
        columns.insert(6, ("budget", "right", lambda r: _percent(r.values.get("budget_left"))))
    return _table(columns, runs, width)


def sparkline(past: Sequence[float], width: int) -> str:
    """The last values as blocks, the largest of them the highest."""
    last = list(past)[-width:]
    most = max(last, default=0.0)
    if most <= 0:
        return _BLOCKS[0] * len(last)
    return "".join(_BLOCKS[round(max(0.0, value) / most * (len(_BLOCKS) - 1))] for value in last)


def bar(part: float, width: int) -> Text:
    """A part of one as a bar."""
    full = min(width, max(0, round(part * width)))
    return Text("━" * full, style="green") + Text("╌" * (width - full), style="grey50")


def _filled(part: float, *, wide: bool) -> str | Text:
    return bar(part, 8) + Text(f" {100 * part:3.0f}%") if wide else _percent(part)


def _short(engine: EngineView) -> str:
    """Name and role; of a path the end."""
    name = engine.model.rstrip("/").rpartition("/")[2] or engine.model
    return name if engine.role in ("policy", "server") else f"{engine.role} {name}"


def _arm(run: RunView, *, wide: bool) -> str:
    folder = Path(run.run).name
    return f"{folder}: {run.arm}" if wide and folder else run.arm


def _of(run: RunView, name: str) -> float:
    return run.values.get(name, 0.0)


def _done(run: RunView) -> float:
    total = _of(run, "total")
    return _of(run, "done") / total if total else 0.0


def _accuracy(run: RunView) -> float | None:
    graded = _of(run, "graded")
    return _of(run, "right") / graded if graded else None


def _left(run: RunView) -> str:
    if _of(run, "ended"):
        return "ended"
    remaining = run.values.get("remaining")
    return "" if remaining is None else spoken(remaining)


def _percent(part: float | None) -> str:
    return "" if part is None else f"{100 * part:.0f}%"


def _rate(value: float | None) -> str:
    return "" if value is None else _count(value)


def _count(value: float) -> str:
    for most, unit, scale in ((1e4, "", 1.0), (1e7, "k", 1e3), (1e10, "M", 1e6)):
        if value < most:
            return f"{value / scale:,.0f}{unit}"
    return f"{value / 1e9:,.0f}G"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    if value < 1:
        return f"{1000 * value:.0f} ms"
    return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"
