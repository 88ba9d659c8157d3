"""An append-only file of JSON lines under a header, safe against a kill at any byte.

The first line names the kind of the file and the version of its schema. A line is written in one
go, so a kill leaves at most one torn line, at the end; opening the file again cuts it off. The file
is locked while it is open, and the lock dies with its process. What the lines mean is for others.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tts.errors import ConfigError

SCHEMA = 3
"""Version of results and trees that is written.

Version 1 had no header, and texts in records; version 2 said `problem_id` for `id`.
"""

_PAGE = 65536


class Line(NamedTuple):
    """A complete line: its number in the file from 1, where it is, and what it says."""

    number: int
    offset: int
    data: bytes


class Log:
    """One file, open for appending.

    Args:
        path: Of the file; made, with its header, if it is not there.
        kind: Name in the header, such as 'results'.

    Raises:
        ConfigError: Another process has it open, it is of another kind, or of a newer version.
        OSError: It cannot be written to.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            _lock(self._file, path.parent)
            _repair(self._file)
            if not os.fstat(self._file).st_size:
                self._write(header(kind))
                _sync_folder(path.parent)
            self.schema = schema_of(path, kind)
        except BaseException:
            os.close(self._file)
            raise

    def append(self, line: bytes) -> int:
        """Write one line, given without its end; return its offset.

        Raises:
            OSError: The disk is full, say; nothing of the line is left then.
        """
        return self._write(line + b"\n")

    def line(self, offset: int) -> bytes:
        """The line at an offset."""
        pieces = []
        while True:
            piece = os.pread(self._file, _PAGE, offset)
            end = piece.find(b"\n")
            pieces.append(piece if end < 0 else piece[:end])
            if end >= 0 or not piece:
                return b"".join(pieces)
            offset += len(piece)

    @property
    def size(self) -> int:
        """Bytes that are in it."""
        return os.fstat(self._file).st_size

    def sync(self) -> None:
        """Wait until what was written is on the disk, and would survive a power cut."""
        os.fsync(self._file)

    def close(self) -> None:
        """Flush to the disk and unlock."""
        self.sync()
        os.close(self._file)

    def _write(self, data: bytes) -> int:
        size = self.size
        try:
            written = os.write(self._file, data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        if written != len(data):
            os.ftruncate(self._file, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        return size


def header(kind: str) -> bytes:
    """The first line of a file of a kind."""
    return json.dumps({"format": f"tts.{kind}", "schema": SCHEMA}).encode() + b"\n"


def lines(path: Path) -> Iterator[Line]:
    """The complete lines of a file, its header and a torn last line left out."""
    offset = 0
    with path.open("rb") as file:
        for number, data in enumerate(file, 1):
            if not data.endswith(b"\n"):
                return
            if number > 1 or _header(data) is None:
                yield Line(number, offset, data)
            offset += len(data)


def schema_of(path: Path, kind: str) -> int:
    """The version of a file's schema; 1 where there is no header.

    Raises:
        ConfigError: It is of another kind, or of a version that is not known here.
    """
    with path.open("rb") as file:
        found = _header(file.readline())
    if found is None:
        return 1
    if found.get("format") != f"tts.{kind}":
        raise ConfigError(f"{path} is no file of {kind}, but of {found.get('format')}.")
    version = found.get("schema")
    if not isinstance(version, int) or not 1 <= version <= SCHEMA:
        raise ConfigError(
            f"{path} has version {version} of its schema; this version of tts knows up to"
            f" {SCHEMA}.",
            hint="Use the version of tts that wrote it, or a newer one.",
        )
    return version


def _header(line: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "format" in found else None


def _sync_folder(folder: Path) -> None:
    """So that a file that is new in it would survive a power cut."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _lock(file: int, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(
            f"Another run is writing to {folder}.",
            hint="Wait for it, or choose another folder (hydra.run.dir=... of a run).",
        ) from error


def _repair(file: int) -> None:
    """Cut off what a kill has left of a line at the end."""
    size = end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - _PAGE)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)
