"""`tts top`: the engines and runs of this machine, live."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts.cli.options import Parser
from tts.errors import ConfigError

if TYPE_CHECKING:
    from tts.cli._top_reading import Page
    from tts.cli._top_watch import Watch

_ABOUT = """\
Show the engines and runs of this machine as they go: requests, KV cache, prefix cache, tokens a
second, latencies; problems done, accuracy so far, time left.

What was started with metrics=prometheus is found by itself. --url shows another page, also that of
a plain vLLM server. Ctrl-C ends it, and nothing else.

Rates are those since the last look; hits and latencies those of the last minute, or of all time if
nothing has happened in it. Where the output is no terminal, one picture is printed.

Exit codes: 0; 1 if there was nothing to show; 2 bad input."""

_EXAMPLES = """\
examples:
  tts run metrics=prometheus strategy=self_consistency      # in another terminal
  tts top
  tts top --url http://127.0.0.1:8000                       # a vLLM server
  tts top --once --interval 5 >> log.txt
  tts top --json | jq '.pages[].engines[].values.running'"""


def main(arguments: Sequence[str]) -> int:
    """Run `tts top`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.
    """
    asked = _read(arguments)
    # Late, so that help and slips of the pen are answered at once.
    from rich.console import Console

    from tts.cli._top_watch import Watch

    watch = Watch()
    try:
        if asked.json or asked.once or asked.svg or not sys.stdout.isatty():
            pages = _two_looks(asked, watch)
            if asked.svg:
                _draw(pages, watch, asked.svg)
            if asked.json:
                print(json.dumps({"pages": [_plain(page, watch) for page in pages]}, indent=2))
            else:
                _print(pages, watch)
            return 0 if any(not page.error for page in pages) else 1
        _live(asked, watch, Console(highlight=False))
    except KeyboardInterrupt:
        pass
    return 0


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser("top", _ABOUT, _EXAMPLES)
    parser.add_argument(
        "--url",
        action="append",
        default=[],
        metavar="URL",
        help="a page of metrics, such as http://127.0.0.1:9400; may be given several times",
    )
    parser.add_argument(
        "--interval", type=float, default=1.0, metavar="S", help="seconds between two looks (1)"
    )
    parser.add_argument("--once", action="store_true", help="print one picture, after two looks")
    parser.add_argument("--json", action="store_true", help="print the figures, after two looks")
    parser.add_argument(
        "--svg", type=Path, metavar="FILE", help="write the picture to a file, after two looks"
    )
    asked = parser.parse_args(list(arguments))
    if not 0.1 <= asked.interval <= 3600:
        raise ConfigError(
            f"--interval is {asked.interval:g}; it must be 0.1 to 3600 seconds.",
            hint="Leave it out for one second.",
        )
    asked.url = [_address(url) for url in asked.url]
    return asked


def _address(url: str) -> str:
    """Where a page is, without what stands behind the port."""
    if "://" not in url:
        url = f"http://{url}"
    if not url.startswith(("http://", "https://")) or not url.partition("://")[2].strip("/"):
        raise ConfigError(
            f"--url is {url!r}; it must be the address of a page.",
            hint="Write --url http://127.0.0.1:9400.",
        )
    return url.rstrip("/").removesuffix("/metrics").removesuffix("/v1")


def _look(urls: Sequence[str]) -> list[Page]:
    """Look at the pages that were asked for, or else at all that are known, all at once."""
    from tts.cli._top_reading import look
    from tts.engine.notices import notes

    known = {str(note.body.get("url")): note for note in notes("metrics")}
    asked = list(dict.fromkeys(urls)) or list(known)
    if not asked:
        return []

    def one(url: str) -> Page:
        note = known.get(url)
        what = str(note.body.get("what", "")) if note else ""
        return look(url, what, note.process if note else None)

    with ThreadPoolExecutor(min(16, len(asked))) as pool:
        return list(pool.map(one, asked))


def _two_looks(asked: argparse.Namespace, watch: Watch) -> list[Page]:
    """The second of two looks: rates need both."""
    pages = _look(asked.url)
    watch.take(pages)
    if any(not page.error for page in pages):
        time.sleep(asked.interval)
        pages = _look(asked.url)
        watch.take(pages)
    return pages


def _live(asked: argparse.Namespace, watch: Watch, console: Any) -> None:
    """Look and show, until somebody presses Ctrl-C."""
    from rich.live import Live

    from tts.cli._top_picture import picture

    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            pages = _look(asked.url)
            watch.take(pages)
            live.update(picture(pages, watch, console, time.strftime("%H:%M:%S")), refresh=True)
            time.sleep(asked.interval)


def _print(pages: Sequence[Page], watch: Watch) -> None:
    """One picture as plain text."""
    from rich.console import Console

    from tts.cli._top_picture import picture

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print(picture(pages, watch, console, time.strftime("%Y-%m-%d %H:%M:%S")))


def _draw(pages: Sequence[Page], watch: Watch, path: Path) -> None:
    """One picture as a file."""
    import io

    from rich.console import Console

    from tts.cli._top_picture import WIDE, picture
    from tts.evaluation.store import write_atomically

    console = Console(width=WIDE, record=True, file=io.StringIO(), highlight=False)
    console.print(picture(pages, watch, console, time.strftime("%H:%M:%S")))
    drawn = console.export_svg(title="tts top")
    # Without the fonts, which would be fetched from elsewhere.
    write_atomically(path, re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL))


def _plain(page: Page, watch: Watch) -> dict[str, Any]:
    """A page, of JSON types."""
    return {
        **asdict(page),
        "engines": [
            {**asdict(engine), **asdict(watch.pace(page.url, engine))} for engine in page.engines
        ],
    }
