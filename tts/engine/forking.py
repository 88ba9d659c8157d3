"""Fork engines from a process that has imported vLLM already, on processors.

Most of the start of a small engine are imports, in a process of its own. Python's fork server does
them once, beside the imports of this process; each engine is a fork of it then, and all but the
first come up in a fraction of the time. A fork is safe as long as the server has a single thread,
and what it imports (`tts.engine.imports`) starts none. CUDA does not survive a fork, so engines on
GPUs are spawned, and so are those that want other variables from the beginning of their process
than the server was given.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

READY = "TTS_ENGINE_IMPORTED"
"""Variable that names the file which the server makes when it has imported everything."""

DONE = "done"
"""What is in that file then; something else if it could not import everything."""

TITLE = "tts::ForkServer"
"""What lists of processes call the server; its forks have vLLM's name for an engine."""

_IMPORTS = "tts.engine.imports"
# What is read when a process starts or a module is loaded; the rest is handed on to each fork.
_EARLY = (
    *("LD_PRELOAD", "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "TORCH", "PYTHON"),
    *("CUDA", "VLLM_", "HF_", "TRANSFORMERS", "TOKENIZERS"),
)
# vLLM sets them for itself when an engine is built, to the same for all that can be forks.
_LATE = (
    *("TORCHINDUCTOR_COMPILE_THREADS", "TORCHINDUCTOR_CPP_DYNAMIC_THREADS"),
    *("VLLM_WORKER_MULTIPROC_METHOD", "VLLM_DISABLE_SHARED_EXPERTS_STREAM"),
    *("VLLM_SSM_CONV_STATE_LAYOUT", "VLLM_OBJECT_STORAGE_SHM_BUFFER_NAME"),
)
# NumPy's and SciPy's libraries of linear algebra start threads when they are loaded.
_SINGLE = {"OPENBLAS_NUM_THREADS": "1"}
_TICK_SECONDS, _PATIENCE_SECONDS = 0.05, 300.0


class _Fork(ForkServerProcess):
    """A fork that has the variables of whoever starts it, and not those of the server."""

    _variables: dict[str, str]

    def start(self) -> None:
        """Start it."""
        self._variables = dict(os.environ)
        self.starter = threading.get_native_id()
        super().start()

    def run(self) -> None:
        """Do in the fork what it was made for."""
        os.environ.clear()
        os.environ.update(self._variables)
        super().run()


class _Context(ForkServerContext):
    """Makes processes that are forks of the server."""

    Process = _Fork


class Server:
    """The fork server of this process; there is one, for all engines."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._early: dict[str, str] | None = None
        self._ready: Path | None = None
        self._wanted = threading.local()

    def begin(self) -> bool:
        """Start it under the present variables, unless it is there; do not wait for it.

        Returns:
            Whether it suits an engine that is started under them.
        """
        with self._lock:
            present = _early()
            if self._early is None and _pid() is None:  # else somebody has one of his own
                self._start(present)
            return self._early == present

    def wait(self, off: Callable[[], bool]) -> bool:
        """Wait until it has imported everything; it must have begun.

        Args:
            off: Whether nobody is interested any more.

        Returns:
            Whether it is ready. If not, and though somebody is interested, it could not import
            vLLM, or was killed.
        """
        assert self._ready is not None
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._ready.exists():
            if off() or _gone(_pid()) or time.monotonic() > deadline:
                return False
            time.sleep(_TICK_SECONDS)
        return self._ready.read_text() == DONE

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """A block in which vLLM's engines are forks, of those that are built in this thread."""
        from vllm.v1.engine import utils

        with self._lock:
            if not isinstance(utils.get_mp_context, _Chosen):
                utils.get_mp_context = _Chosen(utils.get_mp_context, self._wanted)
        self._wanted.yes = True
        try:
            yield
        finally:
            self._wanted.yes = False

    def _start(self, early: dict[str, str]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="tts-fork-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._ready, self._early = folder / "ready", early
        multiprocessing.set_forkserver_preload([_IMPORTS])
        own = {READY: str(self._ready), **_SINGLE}
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        try:
            multiprocessing.forkserver.ensure_running()
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


class _Chosen:
    """In the place of vLLM's `get_mp_context`: the fork server's context where it is wanted."""

    def __init__(self, usual: Callable[[], Any], wanted: threading.local) -> None:
        self._usual, self._wanted = usual, wanted

    def __call__(self) -> Any:
        usual = self._usual()
        return _Context() if getattr(self._wanted, "yes", False) else usual


def _early() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_EARLY) and name not in _LATE
    }


def _pid() -> int | None:
    """Of Python's fork server, if somebody has started it."""
    server = getattr(multiprocessing.forkserver, "_forkserver", None)
    found: int | None = getattr(server, "_forkserver_pid", None)
    return found


def _gone(process: int | None) -> bool:
    """Whether a child has ended."""
    import psutil

    if process is None:
        return False
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


SERVER = Server()
"""That of this process."""
