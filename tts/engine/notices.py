"""Notes that processes of one user leave for each other: who takes memory, who shows figures.

A note is a small file in the cache folder (`TTS_CACHE`), which the process takes back when it is
done. One whose process is gone is cleared away by whoever looks next. Notes are a courtesy: where
none can be written, nothing fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts.engine.smollm2 import cache_dir


@dataclass(frozen=True, slots=True)
class Note:
    """What a process has left.

    Attributes:
        process: Its id; it lives.
        body: What it says, of JSON types.
    """

    process: int
    body: Mapping[str, Any]


def folder() -> Path:
    """Where notes are kept."""
    return cache_dir() / "running"


def leave(kind: str, name: object, body: Mapping[str, Any]) -> None:
    """Leave a note of this process, in place of an earlier one of the same name.

    Args:
        kind: Of the note, such as `engine`.
        name: Tells the notes of one kind and process apart.
        body: What it says, of JSON types.
    """
    process = os.getpid()
    text = json.dumps({**body, "process": process, "born": _born(process), "place": _place()})
    path = _path(kind, name)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Whole or not at all.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            file.write(text)
        os.replace(file.name, path)


def take_back(kind: str, name: object) -> None:
    """Remove a note of this process; safe to call again."""
    with contextlib.suppress(OSError):
        _path(kind, name).unlink(missing_ok=True)


def notes(kind: str) -> list[Note]:
    """The notes of living processes of this machine, this one's included, the oldest first."""
    found = []
    with contextlib.suppress(OSError):
        paths = sorted(folder().glob(f"{kind}-*.json"), key=lambda p: (_age(p), p.name))
        found = [note for path in paths if (note := _read(path)) is not None]
    return found


def _read(path: Path) -> Note | None:
    """The note in a file; None if it is another machine's, or if it was stale and is gone now."""
    try:
        body = json.loads(path.read_text())
        process, born, place = int(body["process"]), body["born"], body["place"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # taken back meanwhile, or none of ours
    if place != _place():
        return None  # the cache folder is shared with other machines, which clear their own
    if _born(process) != born or born is None:
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    return Note(process, body)


def _path(kind: str, name: object) -> Path:
    return folder() / f"{kind}-{os.getpid()}-{name}-{_place()}.json"


def _place() -> str:
    """Where process ids mean what they mean here: a machine, or a container on it."""
    try:
        inside = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        inside = 0
    return f"{socket.gethostname()}-{inside}"


def _born(process: int) -> str | None:
    """When a process was started, in ticks of its machine: ids are used again. None if gone."""
    try:
        # Behind the name of the program, which may hold anything.
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
