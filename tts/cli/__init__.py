"""The command line: `tts run` and its siblings. The only room that knows Hydra.

A command is a module with `main(arguments) -> exit code`, imported when it is asked for.

Exit codes: 0 all well; 1 a fault ended the run; 2 bad input, and nothing was spent; 3 the run
ended, but some problems failed; 130 interrupted (143 by SIGTERM). Results that were written stay.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from tts.cli.arguments import COMMANDS, USAGE
from tts.errors import ConfigError, TTSError

FAULT, BAD_INPUT, INTERRUPTED, TERMINATED = 1, 2, 130, 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments without the program's name; those of the process by default.

    Returns:
        The exit code, see the module.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except ConfigError as error:
        return _complain(error, BAD_INPUT)
    except (TTSError, OSError) as error:
        return _complain(error, FAULT)
    except KeyboardInterrupt:
        return INTERRUPTED
    except asyncio.CancelledError:
        return TERMINATED


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE.strip())
        return 0
    if arguments[0] == "--version":
        from tts import __version__

        print(f"tts {__version__}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, n=1)
        raise ConfigError(
            f"There is no command {name!r}.",
            hint=f"Did you mean `tts {close[0]}`?" if close else "See `tts --help`.",
        )
    try:
        return int(import_module(f"tts.cli.{COMMANDS[name]}").main(rest))
    except SystemExit as end:  # argparse has shown its help
        return int(end.code or 0)


def _complain(error: Exception, code: int) -> int:
    """One sentence and a hint on the standard error stream."""
    message = error.message if isinstance(error, TTSError) else f"{type(error).__name__}: {error}."
    print(f"tts: {message}", file=sys.stderr)
    if isinstance(error, TTSError) and error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return code
