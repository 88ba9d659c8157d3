"""Where rows come from: a source reads what a path names, row by row.

A source knows nothing of questions and answers; `tts.tasks.fields` reads those out of a row. Others
of the same shape are `tts.tasks.hub` and `tts.tasks.gym`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tts.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a data set.

    Attributes:
        index: Its number in the source, from 0.
        where: How to find it, for complaints, such as 'sums.jsonl, line 3'.
        fields: What it holds.
    """

    index: int
    where: str
    fields: Mapping[str, Any]


class Source(Protocol):
    """A way to read rows. A class that fits is a plug-in."""

    def rows(self, path: str) -> Iterator[Row]:
        """The rows of what `path` names (a file, a data set, a generator), in a fixed order.

        Raises:
            ConfigError: There is no such thing, or it cannot be read.
        """
        ...


@dataclass(frozen=True)
class JsonLines:
    """A JSONL file, one object a line; '~' is understood, blank lines are skipped."""

    def rows(self, path: str) -> Iterator[Row]:
        """The rows; `index` is the number of the line, from 0."""
        file = Path(path).expanduser()
        try:
            with file.open(encoding="utf-8") as lines:
                for index, line in enumerate(lines):
                    if line.strip():
                        where = f"{file}, line {index + 1}"
                        yield Row(index, where, _parsed(line, where))
        except FileNotFoundError as error:
            raise ConfigError(
                f"There is no file {file.absolute()}.",
                hint="Set task.path, or TTS_DATA to the folder that holds it (./data by default).",
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} cannot be read: {error}.") from error


def _parsed(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ConfigError(
            f"{where} is no JSON: {error}.", hint="Each line holds one JSON object."
        ) from error
    if not isinstance(row, dict):
        raise ConfigError(f"{where} holds a {type(row).__name__}, not an object with fields.")
    return row
