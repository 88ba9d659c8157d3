"""The engines of this process, for those who look at them; knows nothing of how they are shown.

An engine is known from its making until it is closed or forgotten. The list may be asked for from
any thread.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from tts.engine.memory import Footprint
from tts.engine.stats import EngineStats

if TYPE_CHECKING:
    from tts.engine.engine import Engine

State = Literal["stopped", "starting", "running", "paused", "asleep", "dead"]
"""What an engine is at; `stopped`: not started yet, and `dead`: its process is gone."""

STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True)
class Entry:
    """An engine, as it is seen from outside.

    Attributes:
        number: Of the engine in this process, in the order of their making, from 0.
        model: Its name, as the user gave it.
        role: What it is for: `policy`, `reward` or `draft`.
        state: What it is at.
        stats: What it has done; the engine goes on writing there.
        footprint: Memory that is planned for it.
    """

    number: int
    model: str
    role: str
    state: State
    stats: EngineStats
    footprint: Footprint


_NUMBERS = itertools.count()
_ENGINES: weakref.WeakValueDictionary[int, Engine] = weakref.WeakValueDictionary()
_ROLE: ContextVar[str | None] = ContextVar("tts-engine-role", default=None)


@contextmanager
def made_as(role: str | None) -> Iterator[None]:
    """A block in which engines are made for a role that they cannot know of themselves."""
    token = _ROLE.set(role)
    try:
        yield
    finally:
        _ROLE.reset(token)


def place(role: str) -> tuple[int, str]:
    """What an engine that is being made is known by.

    Args:
        role: As its settings say.

    Returns:
        Its number, and its role.
    """
    return next(_NUMBERS), _ROLE.get() or role


def enter(engine: Engine) -> None:
    """Make an engine known, once it is made."""
    _ENGINES[engine.number] = engine


def leave(engine: Engine) -> None:
    """Forget an engine; safe to call again."""
    _ENGINES.pop(engine.number, None)


def engines() -> list[Entry]:
    """The engines that were made and not closed, in the order of their making."""
    found = []
    for reference in _ENGINES.valuerefs():  # a copy, so that another thread may add to it
        engine = reference()
        if engine is not None:
            model, plan = engine.config.model, engine.config.footprint
            found.append(Entry(engine.number, model, engine.role, engine.state, engine.stats, plan))
    return found
