"""Options of the commands that are no Hydra runs: the standard library's parser, our words."""

from __future__ import annotations

import argparse
from typing import NoReturn

from tts.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """An `argparse` parser that raises `ConfigError` where the original ends the process.

    Args:
        command: Such as 'power'.
        about: What it does, in a sentence or two.
        examples: Command lines to show below the options.
    """

    def __init__(self, command: str, about: str, examples: str = "") -> None:
        super().__init__(
            prog=f"tts {command}",
            description=about,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed."""
        raise ConfigError(f"{self.prog}: {message}.", hint=f"See `{self.prog} --help`.")
