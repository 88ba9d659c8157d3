"""The real engine, once per test session; imported by `conftest.py`."""

from __future__ import annotations

import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import contextmanager

import pytest_asyncio

from tts.backends.vllm import VLLMBackend


@contextmanager
def other_peoples_warnings():
    """vLLM warns while it is imported and started; warnings are errors in this suite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        gc.collect()  # what vLLM leaves unclosed after a failed start complains when collected


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vllm_backend() -> AsyncIterator[VLLMBackend]:
    """The bundled model on the bundled engine, started."""
    with other_peoples_warnings():
        backend = VLLMBackend("mini-reasoner")
        await backend.start()
    yield backend
    with other_peoples_warnings():
        await backend.aclose()
