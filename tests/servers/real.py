"""vLLM's own server with the bundled model, as a process of its own, once per test session."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tts.engine.config import environment
from tts.engine.hardware import detect
from tts.engine.models import BUNDLED

MODEL = "mini-reasoner"
_READY_SECONDS = 240
_CACHE_BYTES = 1 << 28
_ARGUMENTS = (
    *("--served-model-name", MODEL, "--host", "127.0.0.1", "--dtype", "float32"),
    *("--max-model-len", "512", "--max-num-seqs", "16", "--block-size", "32"),
    *("--kv-cache-memory-bytes", str(_CACHE_BYTES), "--enforce-eager"),
    *("--no-enable-chunked-prefill", "--enable-prompt-tokens-details"),
    "--disable-uvicorn-access-log",
)


@dataclass(frozen=True)
class RealServer:
    """A server that runs.

    Attributes:
        port: Where it listens.
        root: Link to the checkpoint, by which the server knows it.
    """

    port: int
    root: Path

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def gauge(self, name: str) -> float:
        """A figure of the server's own, such as `num_requests_running`."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics").text
        found = re.search(rf"^vllm:{name}{{[^}}]*}} (\S+)$", text, re.MULTILINE)
        assert found is not None, name
        return float(found[1])

    @contextlib.contextmanager
    def elsewhere(self) -> Iterator[None]:
        """For a while, the checkpoint is not where the server says, as with one far away."""
        away = self.root.with_name("away")
        self.root.rename(away)
        try:
            yield
        finally:
            away.rename(self.root)


@pytest.fixture(scope="session")
def vllm_server(tmp_path_factory) -> Iterator[RealServer]:
    """The bundled model behind vLLM's server."""
    folder = tmp_path_factory.mktemp("server")
    root = folder / MODEL
    root.symlink_to(BUNDLED / MODEL)
    port = _free_port()
    with (folder / "log").open("wb") as log, _process(root, port, log) as process:
        _wait(process, port, folder / "log")
        yield RealServer(port, root)


@contextlib.contextmanager
def _process(root: Path, port: int, log) -> Iterator[subprocess.Popen[bytes]]:
    """A session of its own, all of which is killed in the end."""
    words = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(root), "--port", str(port)]
    # One thread: the model is tiny, and the bundled engine may run beside it.
    current = {**os.environ, "OMP_NUM_THREADS": "1"}
    changed = {**current, **environment(detect(), {"enforce_eager": True}, current)}
    variables = {name: value for name, value in changed.items() if value is not None}
    with subprocess.Popen(
        [sys.executable, *words, *_ARGUMENTS],
        env=variables,
        cwd=root.parent,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for how, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _READY_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                return
        time.sleep(0.5)
    pytest.fail(f"vLLM's server did not come up:\n{log.read_text(errors='replace')[-3000:]}")


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
