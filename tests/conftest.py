"""Fixtures of the whole suite."""

from __future__ import annotations

import pytest

from tts.testing import World
from tts.types import Problem


@pytest.fixture
def world() -> World:
    """A simulated world: answers 0 to 3 in three steps, with latencies on a virtual clock."""
    return World()


@pytest.fixture
def problem() -> Problem:
    """Any problem."""
    return Problem("p", prompt="What is it?")
