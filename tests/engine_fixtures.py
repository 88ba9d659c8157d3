"""Real engines, once per test session; imported by `conftest.py`."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import contextmanager

import psutil
import pytest_asyncio

from tts.backends.vllm import VLLMBackend
from tts.engine import RewardEngine
from tts.engine.forking import TITLE
from tts.engine.head import Head


@contextmanager
def other_peoples_warnings():
    """vLLM warns while it is imported and started; warnings are errors in this suite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()  # what vLLM leaves unclosed after a failed start complains when collected


def spawned(before: set[int]) -> list[psutil.Process]:
    """Our children that were not there before, but for those that last as long as we do."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if child.pid not in before and not _lasts(child)]


def _lasts(process: psutil.Process) -> bool:
    try:
        words = " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return True
    return "resource_tracker" in words or TITLE in words


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vllm_backend() -> AsyncIterator[VLLMBackend]:
    """The bundled model on the bundled engine, started."""
    with other_peoples_warnings():
        backend = VLLMBackend("mini-reasoner")
        await backend.start()
    yield backend
    with other_peoples_warnings():
        await backend.aclose()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def reward_engines(tmp_path_factory) -> AsyncIterator[dict[Head, RewardEngine]]:
    """One engine for each kind of head, started side by side; all take 256 tokens."""
    from tests.engine.checkpoints import checkpoint  # imports torch

    folder = tmp_path_factory.mktemp("models")
    names = [
        str(checkpoint(folder / "token", "LlamaForTokenClassification")),
        str(checkpoint(folder / "sequence", "LlamaForSequenceClassification", labels=1)),
        "mini-reasoner",
    ]
    settings = {"max_model_len": 256, "kv_cache_gib": 0.1, "max_num_seqs": 16}
    with other_peoples_warnings():
        found = {engine.head: engine for engine in (RewardEngine(n, settings) for n in names)}
        await asyncio.gather(*(engine.start() for engine in found.values()))
    yield found
    with other_peoples_warnings():
        await asyncio.gather(*(engine.aclose() for engine in found.values()))
