"""What servers said of themselves, noted for a time when they are not asked."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from tts.backends._openai.probe import Server
from tts.errors import ConfigError

_FILE = "servers.json"
_LOG = logging.getLogger("tts.backends.openai")


def ask_or_recall(
    ask: Callable[[], list[Server | None]],
    urls: Sequence[str],
    model: str,
    record: str | Path | None,
    *,
    offline: bool,
) -> list[Server | None]:
    """Ask the servers and note what they say; offline, read what was noted.

    Args:
        ask: Asks them.
        urls: Of the servers.
        model: Its name at the servers.
        record: Folder of the note; None for none.
        offline: Whether nobody is asked.

    Raises:
        ConfigError: Offline, and nothing was noted of these servers and this model.
    """
    file = Path(record).expanduser() / _FILE if record else None
    if not offline:
        found = ask()
        if file:
            _note(file, {f"{url} {model}": s for url, s in zip(urls, found, strict=True) if s})
        return found
    known = _read(file) if file else {}
    recalled = [known.get(f"{url} {model}") for url in urls]
    if not any(recalled):
        raise ConfigError(
            f"backend.offline: nothing is recorded of model '{model}' at {', '.join(urls)}.",
            hint="Run once with the same replay.path while the server is there.",
        )
    return recalled


def _note(file: Path, said: dict[str, Server]) -> None:
    entries = {name: asdict(server) for name, server in {**_read(file), **said}.items()}
    temporary = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
        temporary.replace(file)
    except OSError as error:  # the run itself does not need it
        _LOG.warning("%s cannot be written: %s", file, error.strerror)


def _read(file: Path) -> dict[str, Server]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        return {name: Server(**entry) for name, entry in entries.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{file} cannot be read: {error}.", hint="Remove it; it is written anew."
        ) from error
