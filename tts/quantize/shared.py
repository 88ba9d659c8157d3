"""What two environments have in common: linked into the second rather than installed again.

A distribution is shared if it is installed here in the very version that is wanted there. Its files
become hard links (copies where the file system cannot link), so each environment owns its own names
of them: either may be removed, and pip, which never writes into a file that is there, does not
reach through. PyTorch is shared in whatever admissible version is here, with all that it requires:
which build fits the machine was settled when vLLM was installed.

Knows what distributions record of themselves (`RECORD`), nothing of pip.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tts.errors import Unsupported
from tts.quantize.lockfile import normal

TORCH = ">=2.10.0,<=2.14.0"
"""The versions of PyTorch that the locked llm-compressor admits."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A distribution that is here in the right version.

    Attributes:
        name: Normal.
        version: Installed.
        root: Its site folder.
        dist: What it records of itself.
    """

    name: str
    version: str
    root: Path
    dist: metadata.Distribution

    @property
    def files(self) -> list[str]:
        """Those that are there, below the site folder; scripts outside of it are left out."""
        return [file for file in recorded(self.dist) if (self.root / file).is_file()]

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum((self.root / file).stat().st_size for file in self.files)


def recorded(dist: metadata.Distribution) -> list[str]:
    """The files below its site folder that a distribution records; none if it records nothing."""
    text = dist.read_text("RECORD") or ""
    names = (row[0] for row in csv.reader(text.splitlines()) if row)
    return [name for name in names if not name.startswith(("..", "/"))]


def installed() -> dict[str, metadata.Distribution]:
    """The distributions of this environment, by normal name; the first on the path counts."""
    found: dict[str, metadata.Distribution] = {}
    for dist in metadata.distributions():
        if dist.name:
            found.setdefault(normal(dist.name), dist)
    return found


def shareable(
    pins: Mapping[str, str], here: Mapping[str, metadata.Distribution]
) -> dict[str, Shared]:
    """The distributions that can be shared, by normal name.

    Args:
        pins: Wanted versions.
        here: What is installed.

    Raises:
        Unsupported: There is no PyTorch here that llm-compressor admits.
    """
    wanted = {name for name, version in pins.items() if _version(here, name) == version}
    wanted |= {name for name in _torch(here) if name not in pins}
    found = (_shared(name, here[name]) for name in sorted(wanted))
    return {each.name: each for each in found if each is not None}


def _version(here: Mapping[str, metadata.Distribution], name: str) -> str | None:
    return here[name].version if name in here else None


def _torch(here: Mapping[str, metadata.Distribution]) -> set[str]:
    """PyTorch and all that it requires."""
    from packaging.specifiers import SpecifierSet

    version = _version(here, "torch")
    if version is None or not SpecifierSet(TORCH).contains(version.partition("+")[0]):
        raise Unsupported(
            f"llm-compressor needs PyTorch {TORCH}, and this environment has {version or 'none'}.",
            hint="Install the engine first: make setup, or pip install 'tts-scaling[cuda]'.",
        )
    return _closure("torch", here)


def _closure(name: str, here: Mapping[str, metadata.Distribution]) -> set[str]:
    """A distribution and what it requires, directly or not, as far as it is installed."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    left = [name]
    while left:
        each = left.pop()
        if each in found or each not in here:
            continue
        found.add(each)
        for text in here[each].requires or ():
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                left.append(normal(need.name))
    return found


def _shared(name: str, dist: metadata.Distribution) -> Shared | None:
    """A distribution as one to share; None if it records no files, or lies elsewhere (editable)."""
    lies_elsewhere = '"editable"' in (dist.read_text("direct_url.json") or "")
    if lies_elsewhere or dist.read_text("RECORD") is None:
        return None
    return Shared(name, dist.version, Path(str(dist.locate_file(""))), dist)


def link(shared: Iterable[Shared], site: Path) -> None:
    """Put distributions into another site folder.

    Args:
        shared: What to put there.
        site: An existing site folder that has none of them.

    Raises:
        OSError: A file could not be written.
    """
    made: set[Path] = set()
    for each in shared:
        for file in each.files:
            target = site / file
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            try:
                os.link(each.root / file, target)
            except FileExistsError:
                continue  # namespace packages share files such as an empty __init__.py
            except OSError:  # another file system, or one that has no links
                shutil.copy2(each.root / file, target)


def linkable(source: Path, target: Path) -> bool:
    """Whether two existing folders lie on one file system, so that links cost nothing."""
    return source.stat().st_dev == target.stat().st_dev
