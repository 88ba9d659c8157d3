"""Setups that are made in workers: each leaves the number of its process in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from tts.backends.arithmetic import simulated_arithmetic
from tts.errors import EngineDead
from tts.solve import Setup
from tts.strategies import SelfConsistency


def setup(shelf, *, folder=None, trouble=(), dead_at=None, **options):
    """Votes of four simulated samples.

    Args:
        shelf: Of the worker.
        folder: Where its process is noted; None for nowhere.
        trouble: Problems that end the process which is to solve them.
        dead_at: The problem at which the first engine that meets it dies for good.
        options: Of the backend, and `budget`.
    """
    budget = options.pop("budget", None)
    backend = simulated_arithmetic(**options)
    if folder is not None:
        Path(folder, str(os.getpid())).touch()
        backend = Troubled(backend, Path(folder), trouble, dead_at)
    shelf["made"] = shelf.get("made", 0) + 1
    return Setup(SelfConsistency(n=4), backend, budget=budget)


def unlike(shelf):
    """Not the setup that was configured."""
    return setup(shelf, accuracy=0.7)


class Troubled:
    """A backend that meets with what happens to engines."""

    def __init__(self, backend, folder, trouble, dead_at):
        self._backend, self._folder = backend, folder
        self._trouble, self._dead_at = trouble, dead_at

    def __getattr__(self, name):
        return getattr(self._backend, name)

    def open(self, request):
        name = request.problem.id
        if name in self._trouble:
            os._exit(1)
        if name == self._dead_at and not (self._folder / "dead").exists():
            (self._folder / "dead").touch()
            error = EngineDead("The engine died twice.")
            error.retryable = False
            raise error
        return self._backend.open(request)
