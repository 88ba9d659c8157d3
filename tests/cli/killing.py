"""A batch that is killed again and again: `python -m tests.cli.killing KILLS SEED WORD...`.

The words are those of `tts batch`. What is slow (imports, composing the configuration) is done
once; then each sitting is a fork of this process, which is killed at a random moment: as it starts,
or once its records have grown by some bytes, and always a little later than that. The last sitting
is left alone. Says how often it was killed, how often of these before it had written anything, and
the exit code of the last sitting.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from tts.cli._requests import Batch, serve
from tts.cli.batch import _command, _read
from tts.cli.jobs import Job, compose_jobs
from tts.evaluation.provenance import provenance
from tts.evaluation.store import RESULTS

_BYTES = (-2000, 8000)  # at once if negative
_LONGEST_SECONDS = 0.02


def main(kills: int, seed: int, words: list[str]) -> None:
    """Kill so often, then let it end."""
    (job,) = compose_jobs(_command(_read(words)))
    provenance({}, [], [], [])  # asks git and the machine, and remembers
    path, rng = job.folder / RESULTS, random.Random(seed)
    found = {"kills": 0, "unborn": 0}
    for _ in range(kills):
        before = _size(path)
        killed = _killed(job, before + rng.randint(*_BYTES), rng)
        found["kills"] += killed
        found["unborn"] += _size(path) == before
    _, status = os.waitpid(_fork(job), 0)
    print(json.dumps({**found, "code": os.waitstatus_to_exitcode(status)}))


def _killed(job: Job, size: int, rng: random.Random) -> bool:
    """Whether a sitting could be killed after its records had reached a size."""
    sitting, path = _fork(job), job.folder / RESULTS
    while _size(path) < size:
        time.sleep(0.001)
        if os.waitpid(sitting, os.WNOHANG)[0]:
            return False
    time.sleep(rng.uniform(0.0, _LONGEST_SECONDS))
    os.kill(sitting, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(sitting, 0)[1])


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fork(job: Job) -> int:
    """A sitting in a process of its own, which says nothing."""
    if child := os.fork():
        return child
    code = 1
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        code = serve(job, Batch())
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
