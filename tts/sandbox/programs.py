"""Python programs in a sandbox: whether one passes, and what one prints."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from tts.errors import SandboxError
from tts.sandbox.limits import Outcome
from tts.sandbox.sandbox import Sandbox

_RUNNER = Path(__file__).with_name("_runner.py")
_LONGEST = 1 << 20  # characters of program and tests
_READY = b"."
_PYTHON = ("-I", "-W", "ignore", "-X", "utf8")


async def passes(pieces: Sequence[str], sandbox: Sandbox) -> bool:
    """Whether a program ends without an error, within its limits.

    An end before the last piece is no pass, whatever its exit code. That holds against accidents: a
    program that searches the memory of its own process can find out how to pass.

    Args:
        pieces: Its parts, run one after the other in one namespace; tests are the last of them.
        sandbox: Where it runs.

    Raises:
        SandboxError: It does not start.
    """
    if sum(map(len, pieces)) > _LONGEST:
        return False
    word = secrets.token_hex()
    job = json.dumps({"pieces": list(pieces), "word": word}).encode()
    argv = [sys.executable, *_PYTHON, "-c", _RUNNER.read_text()]
    outcome = await sandbox.run(argv, stdin=job)
    if not outcome.stdout.startswith(_READY):
        words = outcome.stderr.decode(errors="replace").strip().splitlines()
        why = outcome.reason or (words[-1] if words else f"exit code {outcome.code}")
        raise SandboxError(
            f"Python does not start in the sandbox ({why}).",
            hint="Raise the time or the memory in limits.",
        )
    return outcome.stdout == _READY + word.encode()


async def output(program: str, sandbox: Sandbox) -> Outcome:
    """Run a program, and see what it prints.

    Args:
        program: Its text.
        sandbox: Where it runs.

    Raises:
        SandboxError: It does not start.
    """
    source = program.encode(errors="surrogatepass")
    return await sandbox.run([sys.executable, *_PYTHON, "a.py"], files={"a.py": source})
