"""From a model's name to a directory with its checkpoint.

A name is, in this order: a bundled model (`mini-reasoner`), a known package model (`smollm2`), a
local directory, or a name on the hub (`org/name`). The engine itself is only ever given a local
directory, so that it never reaches for the network by itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from tts.engine import smollm2
from tts.errors import ModelNotFound

BUNDLED = Path(__file__).resolve().parent.parent / "models"
_FILES = ["*.json", "*.jinja", "*.safetensors", "tokenizer*", "*.txt", "*.model"]

Report = Callable[[str], None]


def bundled() -> list[str]:
    """Names of the models that come with this package."""
    return sorted(file.parent.name for file in BUNDLED.glob("*/config.json"))


def resolve_model(name: str, report: Report = lambda _: None) -> Path:
    """The directory of a model's checkpoint, fetched or converted if it must be.

    Args:
        name: Of the model, or a path.
        report: Told what takes long.

    Raises:
        ModelNotFound: The name leads to no model; the message says what was tried.
    """
    if name in bundled():
        return BUNDLED / name
    if name == smollm2.NAME:
        return smollm2.checkpoint(report)
    path = Path(name).expanduser()
    if name and path.exists():
        return _checked(path)
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise ModelNotFound(
            f"The model path '{name}' does not exist.", hint=_suggest(path.name, _siblings(path))
        )
    if "/" in name:
        return _from_hub(name, report)
    known = [*bundled(), smollm2.NAME]
    raise ModelNotFound(f"There is no model named '{name}'.", hint=_suggest(name, known))


def _checked(path: Path) -> Path:
    if path.is_dir() and (path / "config.json").is_file():
        return path
    lack = "has no config.json" if path.is_dir() else "is a file"
    raise ModelNotFound(
        f"'{path}' is no model: it {lack}.",
        hint="Give the directory that holds config.json, the tokenizer and the weights.",
    )


def _siblings(path: Path) -> list[str]:
    if not path.parent.is_dir():
        return []
    return [entry.name for entry in path.parent.iterdir() if (entry / "config.json").is_file()]


def _suggest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean '{close[0]}'?"
    names = ", ".join(f"'{each}'" for each in [*bundled(), smollm2.NAME])
    return f"Known models are {names}; any local path or hub name (org/name) works as well."


def _from_hub(name: str, report: Report) -> Path:
    """The hub's snapshot: from the local cache if it is there, else from the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        cached = snapshot_download(name, allow_patterns=_FILES, local_files_only=True)
        return _checked(Path(cached))
    except (LocalEntryNotFoundError, ModelNotFound):
        report(f"fetching {name} from the hub")
    try:
        return _checked(Path(snapshot_download(name, allow_patterns=_FILES)))
    except RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"The hub has no model named '{name}', or it needs a login.",
            hint="Check the name, or log in with 'hf auth login'.",
        ) from error
    except ModelNotFound:
        raise
    except Exception as error:  # the hub's client raises errors of several HTTP libraries
        raise ModelNotFound(
            f"The model '{name}' is not in the local cache, and the hub cannot be reached.",
            hint="Copy the model to this machine and give its path: model.name=/path/to/model.",
        ) from error
