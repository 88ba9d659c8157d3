"""A batch that is killed again and again: `python -m tests.cli.killing KILLS SEED WORD...`.

The words are those of `tts batch`. What is slow (imports, composing the configuration) is done
once; then each sitting is a fork of this process, which is killed at a random moment: as it starts,
or once some more lines were written, and always a little later than that. Says how often it was
killed, in how many of these cases a line was torn, and the exit code of the last sitting, which is
left alone.
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
from tts.evaluation.store import RESULTS

_MOST_LINES = 10
_LONGEST_SECONDS = 0.02
_PATIENCE = 60.0


def main(kills: int, seed: int, words: list[str]) -> None:
    """Kill so often, then let it end."""
    (job,) = compose_jobs(_command(_read(words)))
    path, rng = job.folder / RESULTS, random.Random(seed)
    found = {"kills": 0, "torn": 0, "unborn": 0}
    for _ in range(kills):
        sitting, before = _fork(job), _lines(path)
        wanted = before + rng.randint(0, _MOST_LINES)
        deadline = time.monotonic() + _PATIENCE
        while _lines(path) < wanted and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(rng.uniform(0.0, _LONGEST_SECONDS))
        os.kill(sitting, signal.SIGKILL)
        found["kills"] += os.WIFSIGNALED(os.waitpid(sitting, 0)[1])
        found["unborn"] += _lines(path) == before
        found["torn"] += path.exists() and not path.read_bytes().endswith(b"\n")
    _, status = os.waitpid(_fork(job), 0)
    print(json.dumps({**found, "code": os.waitstatus_to_exitcode(status)}))


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


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
