"""Fixtures of the whole suite."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.engine_fixtures import vllm_backend as vllm_backend
from tests.servers.fixtures import connect as connect
from tests.servers.fixtures import serve as serve
from tests.servers.real import vllm_server as vllm_server
from tts.tasks import Item, ItemTask
from tts.testing import World
from tts.types import Problem

settings.register_profile("untimed", deadline=None)  # a busy machine makes no test fail
settings.load_profile("untimed")

_ENGINES = {"vllm_backend", "vllm_server"}
"""Fixtures that last for a session: one engine each, not one a worker."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Side by side: a file stays together, and so does all that shares an engine."""
    for item in items:
        engine = item.get_closest_marker("engine") or _ENGINES & set(item.fixturenames)
        item.add_marker(pytest.mark.xdist_group("engine" if engine else str(item.path)))


@pytest.fixture
def world() -> World:
    """A simulated world: answers 0 to 3 in three steps, with latencies on a virtual clock."""
    return World()


@pytest.fixture
def problem() -> Problem:
    """Any problem."""
    return Problem("p", prompt="What is it?")


@pytest.fixture
def task() -> ItemTask:
    """Twelve problems whose right answer is 0, which `world` finds half of the time."""
    items = [Item(Problem(f"t{i}", prompt=f"problem {i}"), "0") for i in range(12)]
    return ItemTask("toy", items, max_tokens=100)
