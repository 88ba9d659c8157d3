"""Where vLLM's own log goes: into a file that is shown only when a start fails.

The file is told to vLLM by its variable `VLLM_LOGGING_CONFIG_PATH`, which its processes inherit.
Who sets one of vLLM's logging variables himself gets vLLM's log as he asked for it. The level is
vLLM's default (information), and nothing is logged for a request, so the file stays small.
"""

from __future__ import annotations

import json
import logging
import tempfile
from functools import cache
from pathlib import Path

from tts.engine.surroundings import SURROUNDINGS

_VARIABLES = ("VLLM_LOGGING_CONFIG_PATH", "VLLM_LOGGING_LEVEL", "VLLM_CONFIGURE_LOGGING")
_TAIL_LINES = 15


class EngineLog:
    """One log file of this process, for all its engines."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tts-engine-", ignore_cleanup_errors=True)
        self.path = Path(self._folder.name) / "engine.log"
        self.path.touch()
        self._settings = Path(self._folder.name) / "logging.json"
        self._settings.write_text(json.dumps(_settings(self.path)))

    def environment(self) -> dict[str, str]:
        """The variable that sends vLLM's log here; none if the user has chosen otherwise."""
        if any(name in SURROUNDINGS.own() for name in _VARIABLES):
            return {}
        return {"VLLM_LOGGING_CONFIG_PATH": str(self._settings)}

    def hush(self) -> None:
        """Keep what vLLM says while it is being imported, before it reads its settings, off."""
        if self.environment():
            logger = logging.getLogger("vllm")
            logger.addHandler(logging.NullHandler())
            logger.propagate = False

    def size(self) -> int:
        """Bytes written so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def tail(self, start: int) -> str:
        """The last lines that were written since `start` (bytes); empty if there are none."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            file.seek(start)
            lines = file.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


@cache
def engine_log() -> EngineLog:
    """The log file, made when it is first needed and removed when the process ends."""
    return EngineLog()


def _settings(path: Path) -> dict[str, object]:
    """A configuration for `logging.config.dictConfig` that writes vLLM's messages to a file."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(levelname)s %(asctime)s %(filename)s: %(message)s"}},
        "handlers": {
            "file": {
                "class": "logging.FileHandler",
                "filename": str(path),
                "formatter": "plain",
                "delay": True,
            }
        },
        "loggers": {"vllm": {"handlers": ["file"], "level": "INFO", "propagate": False}},
    }
