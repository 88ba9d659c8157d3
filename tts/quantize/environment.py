"""The environment that llm-compressor lives in: found, checked, and made where it is missing.

One folder in the user's cache for each set of pins, Python and PyTorch. Its last file is a stamp,
so what a kill leaves is no environment; and every file that its packages record must be there.
Whatever is not whole is removed and made anew, which is quick where most packages can be linked
(`tts.quantize.shared`). pip is run with the user's own settings (index, `PIP_FIND_LINKS`, proxies).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tts.errors import TTSError
from tts.quantize.lockfile import Lock, normal, read_lock
from tts.quantize.shared import Shared, installed, linkable, recorded, shareable

Report = Callable[[str], None]

_STAMP = "finished"
_TRIAL = "import llmcompressor, compressed_tensors, datasets, torch, transformers"
_MEBI = 1 << 20
_INSTALLED = 450 * _MEBI  # what pip puts there, its downloads and the interpreter's own files


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment.

    Attributes:
        folder: Where it is.
    """

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        """Its site folder."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "lib" / version / "site-packages"

    @property
    def finished(self) -> bool:
        """Whether it was made to its end."""
        return (self.folder / _STAMP).is_file()

    def finish(self) -> None:
        """Note that it was made to its end."""
        (self.folder / _STAMP).write_text(sys.version + "\n")

    def lacks(self, wanted: Mapping[str, str]) -> str:
        """Why it is not whole; empty if it is.

        Args:
            wanted: Versions by normal name.
        """
        if not self.python.exists():
            return "its Python is gone"
        found = {normal(d.name): d for d in metadata.distributions(path=[str(self.site)])}
        for name, version in wanted.items():
            if name not in found or found[name].version != version:
                return f"{name} {version} is missing"
            if _incomplete(found[name], self.site):
                return f"files of {name} are missing"
        return ""


def _incomplete(dist: metadata.Distribution, site: Path) -> bool:
    """Whether a file that a distribution records in the site folder is gone, or its record is."""
    kept = [file for file in recorded(dist) if not file.endswith(".pyc")]
    return not kept or not all(os.path.exists(f"{site}/{file}") for file in kept)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an environment will consist of.

    Attributes:
        lock: Its pins.
        shared: What is linked from here, by normal name.
        trial: Python that must run in it before it counts as made.
    """

    lock: Lock
    shared: Mapping[str, Shared]
    trial: str = _TRIAL

    @property
    def versions(self) -> dict[str, str]:
        """Of everything in it, by normal name."""
        return {**{s.name: s.version for s in self.shared.values()}, **self.lock.pins}

    @property
    def fresh(self) -> list[str]:
        """What pip has to install, as pins."""
        return [f"{n}=={v}" for n, v in self.lock.pins.items() if n not in self.shared]

    @property
    def name(self) -> str:
        """Of its folder: another one for each lock, Python and PyTorch."""
        said = f"{self.lock.digest} {sys.version_info[:2]} {self.shared['torch'].version}"
        digest = hashlib.blake2b(said.encode(), digest_size=6).hexdigest()
        return f"llm-compressor-{self.lock.pins['llmcompressor']}-{digest}"

    def bytes(self, parent: Path) -> int:
        """Disk that it takes below an existing folder, rounded up."""
        copied = (s.bytes for s in self.shared.values() if not linkable(s.root, parent))
        return _INSTALLED + sum(copied)


def plan() -> Plan:
    """What belongs into the environment on this machine.

    Raises:
        Unsupported: There is no PyTorch that llm-compressor admits.
        ConfigError: The lock file is missing.
    """
    lock = read_lock()
    return Plan(lock, shareable(lock.pins, installed()))


def ensure(parent: Path, report: Report, wanted: Plan | None = None) -> Environment:
    """The environment, made now if it is not there or not whole.

    Two processes that ask at once make it once: the second waits for the first.

    Args:
        parent: Folder for environments; made if it is not there.
        report: Told what takes long.
        wanted: What belongs into it; what `plan` says by default.

    Raises:
        Unsupported: There is no PyTorch that llm-compressor admits.
        TTSError: The disk is too small, or it could not be made.
    """
    from filelock import FileLock

    from tts.quantize.building import make

    wanted = wanted or plan()
    parent.mkdir(parents=True, exist_ok=True)
    found = Environment(parent / wanted.name)
    with FileLock(f"{found.folder}.lock"):
        lack = found.lacks(wanted.versions) if found.finished else "it was never finished"
        if not lack:
            return found
        if found.folder.exists():
            report(f"The environment of llm-compressor is not whole ({lack}); it is made anew.")
            shutil.rmtree(found.folder)
        check_disk(parent, wanted.bytes(parent), "The environment of llm-compressor")
        try:
            make(found, wanted, report)
            found.finish()
        except BaseException:
            shutil.rmtree(found.folder, ignore_errors=True)
            raise
    return found


def check_disk(folder: Path, need: int, what: str) -> None:
    """Refuse what will not fit.

    Args:
        folder: Where it is to be; exists.
        need: Bytes.
        what: In words, at the beginning of a sentence.

    Raises:
        TTSError: It will not fit.
    """
    free = shutil.disk_usage(folder).free
    if free < need:
        raise TTSError(
            f"{what} needs {need / _MEBI:,.0f} MiB in {folder}, and {free / _MEBI:,.0f} are free.",
            hint="Make room, or choose another cache folder with the variable TTS_CACHE.",
        )
