"""The environment variables that engines are started under.

vLLM is told some things by variables only, which its processes inherit. They belong to this whole
process, so they are set while engines start, and put back afterwards: engines that want the same
start side by side, others one after the other.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, MutableMapping

Wanted = Mapping[str, str | None]


class Surroundings:
    """Variables that are set for as long as somebody holds them.

    Args:
        variables: Where they are set.
    """

    def __init__(self, variables: MutableMapping[str, str]) -> None:
        self._variables = variables
        self._changed = threading.Condition()
        self._holders = 0
        self._wanted: Wanted = {}
        self._old: dict[str, str | None] = {}

    def own(self) -> dict[str, str]:
        """The variables as they are without us."""
        with self._changed:
            present = dict(self._variables)
            for name, value in self._old.items():
                _put(present, name, value)
        return present

    @contextlib.contextmanager
    def held(self, wanted: Wanted) -> Iterator[None]:
        """A block in which variables are set, or with None unset.

        Waits while others hold different ones; blocks the thread.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._holders or self._wanted == wanted)
            if not self._holders:
                self._wanted = dict(wanted)
                self._old = {name: self._variables.get(name) for name in wanted}
                for name, value in wanted.items():
                    _put(self._variables, name, value)
            self._holders += 1
        try:
            yield
        finally:
            with self._changed:
                self._holders -= 1
                if not self._holders:
                    for name, value in self._old.items():
                        _put(self._variables, name, value)
                    self._old = {}
                self._changed.notify_all()


def _put(variables: MutableMapping[str, str], name: str, value: str | None) -> None:
    if value is None:
        variables.pop(name, None)
    else:
        variables[name] = value


SURROUNDINGS = Surroundings(os.environ)
"""Those of this process."""
