"""One candidate's engine, in a process of its own.

Variables such as the number of threads are read when a process starts, and an engine that crashes
or runs out of memory takes its process with it: so each trial has one, with a session of its own,
in which all processes of the engine live. What is not in its turn is stopped as a whole (SIGSTOP),
since idle engines may spin.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from tts.errors import TTSError
from tts.tuning.engine.readings import Reading
from tts.tuning.engine.workload import Fault, Maker
from tts.types import Problem

_PACKAGE = Path(__file__).resolve().parents[2]
_GRACE_SECONDS = 10.0
_KILLED = -signal.SIGKILL


class TrialFailed(TTSError):
    """A candidate could not be measured. `infeasible` if its settings cannot be used at all."""

    def __init__(self, message: str, *, hint: str = "", infeasible: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.infeasible = infeasible


class Sentinel:
    """The process that ends trials should this one be killed; use it as a block."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("sentinel.py"))],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def tell(self, sign: str, group: int) -> None:
        """Name a process group that is there from now on (+), or no more (-)."""
        assert self._process is not None and self._process.stdin is not None
        print(f"{sign}{group}", file=self._process.stdin, flush=True)


class Trial:
    """One engine; started at once, and stopped while it is not measured.

    Args:
        maker: Makes the workload in the trial's process.
        settings: Of the engine, as fields of `EngineConfig`.
        environment: Variables beside those of this process.
        log: File for all that is said in it.
        sentinel: Is told of the process.
        patience: Seconds that the start may take.

    Attributes:
        seconds: That the start took.

    Raises:
        TrialFailed: It did not come up.
    """

    def __init__(
        self,
        maker: Maker,
        settings: Mapping[str, Any],
        environment: Mapping[str, str],
        log: Path,
        sentinel: Sentinel,
        patience: float,
    ) -> None:
        self._sentinel, self._frozen, self._log = sentinel, False, log
        started = time.monotonic()
        ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tts.tuning.engine.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                pass_fds=(theirs.fileno(),),
                env=_environment(environment),
                start_new_session=True,
            )
        self._line = Connection(ours.detach())
        sentinel.tell("+", self._process.pid)
        try:
            self._line.send((maker, dict(settings)))
            self._report("start", patience)
            self._freeze()
        except BaseException:
            self.end()
            raise
        self.seconds = time.monotonic() - started

    def measure(self, problems: Sequence[Problem], patience: float) -> Reading:
        """Solve problems while all other trials are stopped.

        Args:
            problems: At least one.
            patience: Seconds that it may take.

        Raises:
            TrialFailed: It did not end well, or not in time; the trial is of no more use.
        """
        self._thaw()
        try:
            self._line.send(list(problems))
            found = self._report("answer", patience)
        finally:
            self._freeze()
        assert isinstance(found, Reading)
        return found

    def end(self) -> None:
        """End its processes, and wait until they are gone; safe to call again."""
        self._thaw()
        self._line.close()  # it ends by itself then
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._sentinel.tell("-", self._process.pid)

    def _report(self, what: str, patience: float) -> Reading | None:
        """The next report of the child."""
        try:
            if not self._line.poll(patience):
                raise TrialFailed(f"It took longer than {patience:,.0f} s to {what}.")
            found: Reading | Fault | None = self._line.recv()
        except (EOFError, OSError) as error:
            code = self._process.wait()
            how = f"ended ({code}): {self._last_words()}"
            if code == _KILLED:
                how = "was killed, as when memory runs out"
            raise TrialFailed(f"Its process {how}.") from error
        if isinstance(found, Fault):
            raise TrialFailed(found.reason, infeasible=found.infeasible)
        return found

    def _last_words(self) -> str:
        """The last line of the log."""
        lines = self._log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def _freeze(self) -> None:
        self._signal(signal.SIGSTOP)
        self._frozen = True

    def _thaw(self) -> None:
        if self._frozen:
            self._signal(signal.SIGCONT)
            self._frozen = False

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(_PACKAGE.parent), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **variables}
