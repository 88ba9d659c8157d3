"""The command line: `tts run`, with Hydra's overrides. The only room that knows Hydra.

Exit codes: 0 all well; 1 a fault ended the run; 2 bad input, and nothing was spent; 3 the run
ended, but some problems failed; 130 interrupted (143 by SIGTERM). Results that were written stay.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from tts.cli.arguments import USAGE, Arguments, groups, read
from tts.errors import ConfigError, TTSError

FAULT, BAD_INPUT, SOME_FAILED, INTERRUPTED, TERMINATED = 1, 2, 3, 130, 143


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
    if arguments[0] != "run":
        raise ConfigError(
            f"There is no command {arguments[0]!r}.", hint="There is `tts run`; see `tts --help`."
        )
    command = read(arguments[1:])
    if command.help:
        print(f"{USAGE.strip()}\n\n{groups()}")
        return 0
    return _run(command)


def _run(command: Arguments) -> int:
    # Late, so that help and slips of the pen are answered at once.
    from tts.cli.jobs import compose_jobs
    from tts.cli.run import execute

    jobs = compose_jobs(command)
    if command.print_config:
        print("---\n".join(job.yaml() for job in jobs), end="")
        return 0
    return SOME_FAILED if execute(jobs) else 0


def _complain(error: Exception, code: int) -> int:
    """One sentence and a hint on the standard error stream."""
    message = error.message if isinstance(error, TTSError) else f"{type(error).__name__}: {error}."
    print(f"tts: {message}", file=sys.stderr)
    if isinstance(error, TTSError) and error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return code
