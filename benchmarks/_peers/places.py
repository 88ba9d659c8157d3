"""An interpreter with its_hub, in an environment of its own; and a process that serves jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks._peers.mock import Job

PINS = ("its_hub==1.2.0", "numpy==2.3.5", "typing_extensions==4.15.0")
"""All that its searches import: the language models and servers of its extras are not needed."""

_ROOT = Path(__file__).parents[2]


def interpreter(cache: Path) -> Path:
    """The Python of an environment with `PINS` and nothing else, made on first use.

    Args:
        cache: Folder in which it is kept.

    Raises:
        SystemExit: It could not be made.
    """
    minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache / "-".join([PINS[0].replace("==", "-"), minor])
    python, made = folder / "bin" / "python", folder / "made-of.txt"
    if not made.exists() or made.read_text().split() != list(PINS):
        print(f"Installing {', '.join(PINS)} in {folder}", file=sys.stderr)
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            subprocess.run([*pip, "--no-deps", *PINS], check=True)
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"{PINS[0]} could not be installed: {error}") from error
        made.write_text("\n".join(PINS))
    return python


@dataclass(frozen=True)
class Side:
    """One side, in a process of its own."""

    process: subprocess.Popen[str]

    def do(self, job: Job) -> dict[str, Any]:
        """Have a job done; what came of it.

        Raises:
            SystemExit: The process has ended; what it had to say stands on the terminal.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(asdict(job)), file=self.process.stdin, flush=True)
        if not (line := self.process.stdout.readline()):
            raise SystemExit(f"{self.process.args!r} could not do {job}.")
        report: dict[str, Any] = json.loads(line)
        return report


@contextmanager
def side(python: Path | str, module: str) -> Iterator[Side]:
    """A process that serves jobs until the block ends."""
    pipe = subprocess.PIPE
    command = [python, "-m", module]
    with subprocess.Popen(command, cwd=_ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Side(process)
        finally:
            process.kill()
