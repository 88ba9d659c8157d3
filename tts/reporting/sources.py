"""Where the runs are among the paths that somebody names. Opens no file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tts.errors import ConfigError
from tts.evaluation.store import RESULTS

_ASIDE = "earlier"  # where a folder keeps the runs that were moved out of the way


@dataclass(frozen=True, slots=True)
class Source:
    """The folder of a run.

    Attributes:
        name: Tells it from the others: the last parts of its path.
        folder: Where it is.
    """

    name: str
    folder: Path

    @property
    def results(self) -> Path:
        """Its file of records."""
        return self.folder / RESULTS


def sources(paths: Sequence[Path]) -> tuple[list[Source], list[str]]:
    """The runs in some folders.

    A folder that holds no results is searched for folders that do: sweeps, and whole `outputs`.
    Runs that were moved aside (`earlier/1`) count only where they are named themselves.

    Args:
        paths: Folders, or files of results.

    Returns:
        The runs, and of each path without one why it is left out.

    Raises:
        ConfigError: A path does not exist, or there is no run in any.
    """
    found: dict[Path, None] = {}
    skipped: list[str] = []
    for path in paths:
        inside = list(_runs(path))
        found |= dict.fromkeys(inside)
        if not inside:
            skipped.append(f"{path}: no {RESULTS} in it.")
    if not found:
        named = ", ".join(map(str, paths[:3])) + (", …" if len(paths) > 3 else "")
        raise ConfigError(f"{named}: there is no run.", hint="Name folders that `tts run` wrote.")
    names = _names(list(found))
    return [Source(name, path) for name, path in zip(names, found, strict=True)], skipped


def _runs(path: Path) -> Iterator[Path]:
    if path.is_file():
        if path.name != RESULTS:
            raise ConfigError(f"{path} is no {RESULTS}.", hint="Name the folder of a run.")
        yield path.parent
    elif not path.is_dir():
        raise ConfigError(f"There is no folder {path}.", hint="Name the folder of a run.")
    elif (path / RESULTS).is_file():
        yield path
    else:
        yield from sorted(_below(path))


def _below(path: Path) -> Iterator[Path]:
    for folder, inside, files in os.walk(path):
        if RESULTS in files:
            inside.clear()
            yield Path(folder)
        inside[:] = [name for name in inside if name != _ASIDE]


def _names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that differ from each other."""
    parts = [folder.resolve().parts[1:] for folder in folders]
    for length in range(1, max(map(len, parts), default=1)):
        ends = ["/".join(part[-length:]) for part in parts]
        if len(set(ends)) == len(ends):
            return ends
    return ["/".join(part) for part in parts]
