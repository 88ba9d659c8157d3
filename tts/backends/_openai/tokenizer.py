"""Finds the tokenizer of a server's model on this machine, and counts with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tts.engine.text import Text, tokenizer_identity
from tts.errors import ModelNotFound
from tts.types import Problem, Segment, Trajectory


def find_tokenizer(named: str | None, root: str, model: str) -> Text | None:
    """The tokenizer: the one that is named, else that of the served checkpoint if it is here.

    Args:
        named: Path or hub name that the user gave, or None.
        root: What the server calls its checkpoint; empty if it does not say.
        model: Its name, for messages.

    Raises:
        ModelNotFound: The user has named one, and it is not there.
    """
    path = _directory(named or root)
    if path is None:
        if named:
            raise ModelNotFound(
                f"backend.tokenizer: '{named}' is neither a directory nor in the local hub cache.",
                hint="Give a directory with tokenizer.json.",
            )
        return None
    try:
        return Text(path, model, tokenizer_identity(path))
    except ModelNotFound:
        if named:
            raise
        return None


def _directory(name: str) -> Path | None:
    if not name:
        return None
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if name.startswith(("/", ".", "~")) or name.count("/") != 1:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None


def count_with(text: Text) -> Callable[[str], int]:
    """Counts the tokens of an answer's text."""
    problem = Problem("", prompt=".")
    root = Trajectory.root()
    before = len(text.encode(problem, root))

    def count(answer: str) -> int:
        node = root.extend(Segment(answer), child=0, clock=0)
        return len(text.encode(problem, node)) - before

    return count
