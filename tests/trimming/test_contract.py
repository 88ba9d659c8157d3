"""Every watcher keeps its contract, and the contract tells those that do not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tts import trimming
from tts.errors import ContractError
from tts.testing import check_watcher
from tts.trimming import BudgetForcing, Deer
from tts.watching import Close, Pause

DOCUMENT = (Path(__file__).parents[2] / "docs/trimming.md").read_text()
WATCHERS = [
    *(getattr(trimming, name)() for name in trimming.__all__),
    BudgetForcing(20),
    BudgetForcing(60, minimum=40, extensions=3),
    Deer(threshold=0.1),
    Deer(waits=False, trials=2),
]


@pytest.mark.parametrize("watcher", WATCHERS, ids=repr)
def test_watchers_keep_their_contract(watcher):
    check_watcher(watcher)


def test_the_documented_watcher_keeps_the_contract():
    (program,) = [
        p for p in re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL) if "class" in p
    ]
    namespace = {"__name__": __name__}
    exec(compile(program, "docs/trimming.md", "exec"), namespace)
    check_watcher(namespace["EnoughSteps"](2))


@dataclass(frozen=True)
class ByPieces:
    """Counts pieces, which is no property of the text."""

    requires: frozenset = frozenset()

    def begin(self, setting):
        return [0, 0]

    def pause(self, state):
        return Pause(watch=True)

    def read(self, state, piece):
        pieces, read = state[0] + 1, state[1] + len(piece.text)
        return [pieces, read], Close(read) if pieces == 3 else None

    def hear(self, state, reply):
        return state, None


class Changes(ByPieces):
    """Changes its state."""

    def read(self, state, piece):
        state[1] += len(piece.text)
        return state, None


class Foresees(ByPieces):
    """Decides for what it has not read."""

    def read(self, state, piece):
        return [0, state[1] + len(piece.text)], Close(state[1] + len(piece.text) + 1)


@pytest.mark.parametrize(
    ("watcher", "said"),
    [
        (ByPieces(), "must not depend on that"),
        (Changes(), "changed its state"),
        (Foresees(), "not within the"),
    ],
)
def test_the_contract_tells_those_that_break_it(watcher, said):
    with pytest.raises(ContractError, match=said):
        check_watcher(watcher)
