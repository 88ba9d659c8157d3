"""How a long start is shown: seconds that count on a terminal, two log messages elsewhere."""

from __future__ import annotations

import logging
import sys

_LOG = logging.getLogger("tts.engine")


class Progress:
    """Shows messages; one that ends in `… 12 s` is the same as the last one, some seconds later."""

    def __init__(self) -> None:
        self._topic = ""

    def __call__(self, message: str) -> None:
        """Show a message."""
        topic, goes_on, _ = message.partition("…")
        if sys.stderr.isatty():
            end = "" if goes_on else "\n"
            print(f"\r\033[K{message}", end=end, file=sys.stderr, flush=True)
        elif topic != self._topic:
            _LOG.info(message)
        self._topic = topic
