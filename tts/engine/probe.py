"""Whether vLLM can be imported here, and what it is: asked of a process of its own.

Importing vLLM takes seconds, may print pages, and may end the process where its binaries do not fit
the processor. So `probe` starts a child that runs this module, and waits for it with a limit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from tts.engine.hardware import has_operator
from tts.engine.schemes import SCHEMES

_PACKAGE = Path(__file__).resolve().parents[1]
_OPERATORS = sorted({name for row in SCHEMES.values() for name in row.needs.operators})


@dataclass(frozen=True, slots=True)
class Build:
    """What is installed, as far as it can be imported.

    Attributes:
        vllm: Version.
        torch: Version with its build, such as '2.13.0+cpu'.
        cuda: Version of CUDA that torch was built for; empty for a build without.
        operators: Compiled operators that quantised weights on a processor hang on.
    """

    vllm: str
    torch: str
    cuda: str
    operators: tuple[str, ...]


def probe(limit: float = 120.0) -> Build | str:
    """Import vLLM in a child process.

    Args:
        limit: Seconds that it may take.

    Returns:
        What is there, or the reason in one line why it cannot be imported.
    """
    path = os.pathsep.join(filter(None, (str(_PACKAGE.parent), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-P", "-m", __name__]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
            env={**os.environ, "PYTHONPATH": path, "VLLM_NO_USAGE_STATS": "1"},
        )
    except subprocess.TimeoutExpired:
        return f"the import took more than {limit:.0f} s"
    said = done.stdout.strip().splitlines()
    if done.returncode == 0 and said:
        values = json.loads(said[-1])
        return Build(**{**values, "operators": tuple(values["operators"])})
    return _reason(done.returncode, done.stderr)


def _reason(code: int, stderr: str) -> str:
    if code < 0:
        return f"the import was ended by signal {-code}"
    return next(reversed(stderr.strip().splitlines()), f"the import ended with code {code}")


def _look() -> Build:
    import vllm  # isort: skip  # first, so that what is missing is called by its name
    import torch

    found = tuple(name for name in _OPERATORS if has_operator(name))
    return Build(vllm.__version__, torch.__version__, torch.version.cuda or "", found)


if __name__ == "__main__":
    print(json.dumps(asdict(_look())))
