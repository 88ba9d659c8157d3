"""Append-only results: one complete line a problem, safe against a kill at any byte.

A line goes out in a single `write`, so a kill leaves at most one torn line, at the end; opening the
file again cuts it off. A problem may have several lines (it failed, and was taken up again): the
last one counts. The file is locked while it is open, and the lock dies with its process.

A folder holds one run. Opening it again with the same configuration continues an unfinished run;
whatever else is found there (a finished run, another configuration) is moved to `earlier/1`,
`earlier/2`, ... inside the folder, so that results are neither mixed nor lost.
"""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from tts.errors import ConfigError
from tts.evaluation.records import Record

RESULTS, SUMMARY = "results.jsonl", "summary.json"
TABLE, PICTURE = "summary.md", "accuracy_vs_compute.png"
CONFIG, PROVENANCE = "config.yaml", "provenance.json"
FILES = (SUMMARY, TABLE, PICTURE, CONFIG, PROVENANCE, RESULTS)
"""All that a run writes; the results last, so that a folder half moved is still recognised."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What an arm of a run consists of.

    Attributes:
        configuration: Hash of all that decides the outcome.
        problems: Ids of its problems.
    """

    configuration: str
    problems: frozenset[str]


class Store:
    """The results of one run, in one folder.

    Use it as a block: entering repairs and locks the file, leaving flushes it to the disk.

    Args:
        folder: Of the run; made if it is not there.
        arms: What the run consists of, by the label of the arm.

    Attributes:
        moved: Where an earlier run was moved, if one was in the way.
        continued: Number of problems that were already done, over all arms.
    """

    def __init__(self, folder: Path, arms: Mapping[str, Expected]) -> None:
        self.folder = folder
        self.moved: Path | None = None
        self.continued = 0
        self._arms = arms
        self._records: dict[tuple[str, str], Record] = {}
        self._file = -1

    def __enter__(self) -> Self:
        """Open, lock and repair the file.

        Raises:
            ConfigError: It cannot be written to, another process writes to it, or a line of it
                cannot be understood.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise ConfigError(
                f"The folder {self.folder} cannot be written to: {error.strerror}.",
                hint="Choose another folder with hydra.run.dir=...",
            ) from error
        if self._foreign() or self._finished() or self._bare():
            self.moved = self._move_aside()
            os.close(self._file)
            self._open()
        self.continued = sum(len(self.done(label)) for label in self._arms)
        # A summary is the sign of a finished run, which this one is not any more.
        (self.folder / SUMMARY).unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Flush to the disk and unlock."""
        os.fsync(self._file)
        os.close(self._file)

    def append(self, record: Record) -> None:
        """Write one line.

        Raises:
            OSError: The disk is full, say; nothing of the line is left then.
        """
        line = record.model_dump_json().encode() + b"\n"
        size = os.fstat(self._file).st_size
        written = os.write(self._file, line)
        if written != len(line):
            os.ftruncate(self._file, size)
            raise OSError(f"only {written} of {len(line)} bytes could be written to {self.folder}")
        self._records[record.arm, record.problem_id] = record

    def records(self, arm: str) -> dict[str, Record]:
        """The last record of each problem of an arm, by problem id, failed ones included."""
        return {p: record for (a, p), record in self._records.items() if a == arm}

    def done(self, arm: str) -> set[str]:
        """Ids of the problems of an arm that need not be run again: those that did not fail."""
        return {p for p, record in self.records(arm).items() if not record.failed}

    def _open(self) -> None:
        path = self.folder / RESULTS
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            _lock(self._file, self.folder)
            _repair(self._file)
            self._records = {(r.arm, r.problem_id): r for r in read(path)}
        except BaseException:
            os.close(self._file)
            raise

    def _foreign(self) -> bool:
        """Whether a record belongs to another run than this one."""
        return any(
            arm not in self._arms
            or record.configuration != self._arms[arm].configuration
            or problem not in self._arms[arm].problems
            for (arm, problem), record in self._records.items()
        )

    def _finished(self) -> bool:
        return (self.folder / SUMMARY).exists() and all(
            self.done(label) == arm.problems for label, arm in self._arms.items()
        )

    def _bare(self) -> bool:
        """Whether there is a summary without results: that of a sweep."""
        return (self.folder / SUMMARY).exists() and not self._records

    def _move_aside(self) -> Path:
        places = (self.folder / "earlier" / str(n) for n in itertools.count(1))
        place = next(p for p in places if not p.exists())
        place.mkdir(parents=True)
        for name in FILES:
            if (self.folder / name).exists():
                (self.folder / name).rename(place / name)
        return place


def read(path: Path) -> Iterator[Record]:
    """The records of a file, in the order in which they were written; a torn last line is left out.

    Raises:
        ConfigError: A complete line is no record.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield Record.model_validate_json(line)
            except ValidationError as error:
                raise ConfigError(
                    f"Line {number} of {path} is no record of this version of tts.",
                    hint="Choose another folder with hydra.run.dir=...",
                ) from error


def write_atomically(path: Path, text: str) -> None:
    """Write a small file so that a kill leaves the old one or the new one, never half of it."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _lock(file: int, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigError(
            f"Another run is writing to {folder}.",
            hint="Wait for it, or choose another folder with hydra.run.dir=...",
        ) from error


def _repair(file: int) -> None:
    """Cut off what a kill has left of a line at the end."""
    size = end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - 65536)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(file, end)
