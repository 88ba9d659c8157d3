"""Fixtures of the whole suite."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

from tests.engine_fixtures import reward_engines as reward_engines
from tests.engine_fixtures import vllm_backend as vllm_backend
from tests.servers.fixtures import connect as connect
from tests.servers.fixtures import serve as serve
from tests.servers.real import vllm_server as vllm_server
from tts.tasks import Item, ItemTask
from tts.testing import World
from tts.types import Problem

settings.register_profile("untimed", deadline=None)  # a busy machine makes no test fail
settings.load_profile("untimed")

# Three workers and their engines share the machine, and the models are tiny: threads that wait for
# each other would spin away half of it. PyTorch reads it when a test imports it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would the programs
# that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

_ENGINES = {"vllm_backend", "vllm_server", "reward_engines"}
"""Fixtures that last for a session: one engine, not one a worker."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Side by side: what runs an engine stays together, and so does a file; the longest first."""
    groups = {item: _group(item) for item in items}
    long = {groups[item] for item in items if _is_long(item)}
    for item, group in groups.items():
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: (groups[item] != "engine", groups[item] not in long))


def _group(item):
    """One worker imports vLLM, and its engines are forks of one process; see `tts.engine.forking`.

    The others do what is left, and what runs an engine in processes of its own.
    """
    inside = item.get_closest_marker("engine") and not item.get_closest_marker("apart")
    return "engine" if inside or _ENGINES & set(item.fixturenames) else str(item.path)


def _is_long(item):
    return any(item.get_closest_marker(name) for name in ("engine", "slow"))


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
