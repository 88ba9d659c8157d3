"""vLLM's own server with a small random reward model, once per module that asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.real import RealServer, _end, _free_port, _wait
from tts.engine.config import environment
from tts.engine.hardware import detect

NAME = "toy"
_ARGUMENTS = (
    *("--runner", "pooling", "--served-model-name", NAME, "--host", "127.0.0.1"),
    *("--dtype", "float32", "--max-model-len", "256", "--max-num-seqs", "16"),
    *("--block-size", "32", "--kv-cache-memory-bytes", str(1 << 28), "--enforce-eager"),
    *("--no-enable-chunked-prefill", "--disable-uvicorn-access-log"),
)


@pytest.fixture(scope="module")
def pooling_server(token_checkpoint, tmp_path_factory) -> Iterator[RealServer]:
    """A token classification behind vLLM's server."""
    log, port = tmp_path_factory.mktemp("server") / "log", _free_port()
    words = ["-m", "vllm.entrypoints.openai.api_server", "--model", str(token_checkpoint)]
    current = {**os.environ, "OMP_NUM_THREADS": "1"}
    changed = {**current, **environment(detect(), {"enforce_eager": True}, current)}
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [sys.executable, *words, "--port", str(port), *_ARGUMENTS],
            env={name: value for name, value in changed.items() if value is not None},
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            _wait(process, port, log)
            yield RealServer(port, Path(token_checkpoint))
        finally:
            _end(process)
