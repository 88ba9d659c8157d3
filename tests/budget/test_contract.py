"""Every controller keeps its contract, and the contract finds those that do not."""

from __future__ import annotations

import itertools

import pytest

from tts.budget import (
    BetaStopping,
    DirichletStopping,
    EntropyStopping,
    Fixed,
    OptimalStopping,
    SaturationStopping,
    ShareStopping,
    WindowStopping,
)
from tts.budget.allocation import Allocation
from tts.errors import ContractError
from tts.testing import check_controller
from tts.types import Grant, Stop

CONTROLLERS = [
    Fixed(),
    BetaStopping(),
    BetaStopping(batch=1, threshold=0.7),
    DirichletStopping(),
    EntropyStopping(batch=2),
    ShareStopping(),
    WindowStopping(window=3),
    SaturationStopping(),
    SaturationStopping(p=0.3, ceiling=0.8),
    OptimalStopping(accept=0.9),
    Allocation(),
    Allocation(first=1, batch=1, signal="scores"),
]


@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda c: type(c).__name__)
async def test_contract(controller):
    await check_controller(controller)


class Counts:
    """Every other decision is another."""

    def __init__(self):
        self.calls = itertools.count()

    def decide(self, evidence, pot):
        return [Grant(p, 1, f"call {next(self.calls)}") for p in evidence]


class Generous:
    def decide(self, evidence, pot):
        return [Grant(p, e.wants + 1, "more") for p, e in evidence.items()]


class Mute:
    def decide(self, evidence, pot):
        return [Stop(p) for p in evidence]


class Strange:
    def decide(self, evidence, pot):
        return [Stop("somebody else", "why not")]


class Twice:
    def decide(self, evidence, pot):
        return [Stop(p, "no") for p in evidence for _ in range(2)]


class Waits:
    def decide(self, evidence, pot):
        return [Stop(p, "enough of us") for p in evidence if len(evidence) > 1]


class Remembers:
    """Looks pure as long as nothing is spent."""

    def __init__(self):
        self.calls = itertools.count()

    def decide(self, evidence, pot):
        said = f"call {next(self.calls)}" if pot.spent.calls else "the first"
        return [Grant(p, 1, said) for p in evidence]


@pytest.mark.parametrize(
    ("controller", "promise"),
    [
        (Counts(), "It is pure"),
        (Generous(), "1 to `wants`"),
        (Mute(), "has a reason"),
        (Strange(), "none but those that ask"),
        (Twice(), "once on each"),
        (Waits(), "alone is decided on"),
        (Remembers(), "taken again from the log"),
    ],
    ids=lambda v: type(v).__name__,
)
async def test_broken_promises_are_found(controller, promise):
    with pytest.raises(ContractError, match=promise):
        await check_controller(controller)
