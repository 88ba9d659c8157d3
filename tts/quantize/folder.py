"""The folder of a quantised checkpoint: whose it is, and how it comes to be in one step.

`quantised.json` says what made it. A folder without one is somebody else's and is never touched;
nor is one of another recipe. A checkpoint is written beside its place, and moved there when it is
whole.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tts.errors import ConfigError

MARK, CARD = "quantised.json", "card.json"


def is_there(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a checkpoint of this identity is in its folder already.

    Args:
        folder: Where it belongs.
        identity: What decides it, of JSON types.

    Raises:
        ConfigError: Something else is there.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return False
    if not folder.exists():
        return False
    try:
        found = json.loads((folder / MARK).read_text())["identity"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{folder} is there, and was not made by tts quantize.",
            hint="Choose another folder with output=DIR.",
        ) from error
    wanted = json.loads(json.dumps(identity))
    if found != wanted:
        raise ConfigError(
            f"{folder} holds another checkpoint; it differs in {_differing(found, wanted)}.",
            hint="Choose another folder with output=DIR, or remove it.",
        )
    return True


def _differing(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    names = sorted({*found, *wanted})
    return ", ".join(name for name in names if found.get(name) != wanted.get(name))


def read_mark(folder: Path) -> dict[str, Any]:
    """What is noted of a checkpoint that is there."""
    found: dict[str, Any] = json.loads((folder / MARK).read_text())
    return found


@contextmanager
def placed(folder: Path) -> Iterator[Path]:
    """A block with a folder to fill, which is moved to its place if the block ends well.

    Args:
        folder: The place; not there, or empty.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".quantising-", dir=folder.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        for file in scratch.iterdir():
            file.chmod(0o644)
        scratch.replace(folder)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
