"""The desk that brings controllers their evidence, and decisions taken again from its log."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

import tts
from tests.budget.evidence import POT
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.budget import (
    BetaStopping,
    DirichletStopping,
    OptimalStopping,
    SaturationStopping,
    WindowStopping,
)
from tts.budget.allocation import Allocation
from tts.budget.desk import Desk
from tts.budget.replay import replay
from tts.errors import ConfigError
from tts.strategies import FirstAccepted
from tts.testing import LengthVerifier, World
from tts.types import Evidence, Grant, Problem, Stop


class Patient:
    """Decides only when two problems ask, and then only for the first."""

    def decide(self, evidence, pot):
        return [Grant(min(evidence), 1)] if len(evidence) == 2 else []


async def test_a_problem_without_a_decision_waits_for_another():
    desk = Desk(Patient(), POT)
    desk.enter()
    desk.enter()
    b = asyncio.create_task(desk.ask("b", Evidence((), 1)))
    await asyncio.sleep(0)
    assert not b.done()
    assert await desk.ask("a", Evidence((), 1)) == Grant("a", 1)
    assert not b.done()
    desk.leave()
    assert isinstance(await b, Stop), "alone, and nobody else can ever ask: stopped, not hung"


class Greedy:
    def decide(self, evidence, pot):
        return [Grant(p, e.wants + 1) for p, e in evidence.items()]


async def test_a_controller_that_grants_too_much_is_refused():
    desk = Desk(Greedy(), POT)
    desk.enter()
    with pytest.raises(ConfigError, match="granted 3 samples"):
        await desk.ask("p", Evidence((), 2))


class Stranger:
    def decide(self, evidence, pot):
        return [Stop("somebody else")]


async def test_a_decision_on_a_stranger_is_refused():
    desk = Desk(Stranger(), POT)
    desk.enter()
    with pytest.raises(ConfigError, match="did not ask"):
        await desk.ask("p", Evidence((), 2))


async def test_a_decision_says_what_it_rested_on():
    desk, log = Desk(Thrifty(), POT, shared=True, coming=3), []
    desk.enter()
    shown = Evidence((), 2)
    decision = await desk.ask("p", shown, log)
    assert log == [decision]
    basis = decision.basis
    assert basis.evidence is shown
    assert (basis.asked, basis.turn, basis.by, basis.shared) == (1, 1, "controller", True)
    assert basis.left == {"completion_tokens": float("inf")} and basis.spent is None
    assert (basis.present, basis.coming) == (1, 2)


async def test_who_leaves_without_a_decision_is_in_the_log():
    desk, log = Desk(Patient(), POT), []
    desk.enter()
    desk.enter()
    b = asyncio.create_task(desk.ask("b", Evidence((), 1), log))
    await asyncio.sleep(0)
    await desk.ask("a", Evidence((), 1))
    b.cancel()
    await asyncio.gather(b, return_exceptions=True)
    (left,) = log
    assert isinstance(left, Stop)
    assert (left.basis.by, left.basis.asked, left.basis.turn) == ("nobody", 1, 2)


class Breaks(Patient):
    def decide(self, evidence, pot):
        if pot.present == 1:
            raise ConfigError("Nobody told me what to do alone.")
        return super().decide(evidence, pot)


async def test_a_controller_that_fails_when_one_leaves_fails_those_who_wait():
    desk = Desk(Breaks(), POT, shared=True)
    desk.enter()
    desk.enter()
    b = asyncio.create_task(desk.ask("b", Evidence((), 1)))
    await asyncio.sleep(0)
    await desk.ask("a", Evidence((), 1))
    desk.leave()
    with pytest.raises(ConfigError, match="Nobody told me"):
        await b


# --- decisions taken again ----------------------------------------------------------------------


@dataclass(frozen=True)
class Thrifty:
    """Looks at the pot, and has the problem with the fewest samples go first."""

    least: int = 40

    def decide(self, evidence, pot):
        left = pot.remaining("completion_tokens")
        if left < self.least:
            return [Stop(p, f"{left:g} tokens left") for p in evidence]
        first = min(evidence, key=lambda p: (len(evidence[p].candidates), p))
        return [Grant(first, 1, f"{left:g} tokens left, of {len(evidence)} first")]


CONTROLLERS = [
    BetaStopping(batch=2),
    DirichletStopping(batch=3),
    WindowStopping(window=3),
    SaturationStopping(),
    Thrifty(),
]
PROBLEMS = [Problem(f"p{i}", prompt=f"problem {i}") for i in range(12)]


async def collected(controller, strategy=None, jitter=0, **options):
    """All decisions on twelve problems, four side by side."""
    arguments = {"max_tokens": 60, "concurrency": 4, "verifier": LengthVerifier(), **options}
    results = tts.solve_all(
        PROBLEMS,
        strategy=strategy or tts.SelfConsistency(n=10),
        backend=World(jitter).backend(),
        controller=controller,
        **arguments,
    )
    return [r async for r in results]


def decisions(results):
    return [d for r in results for d in r.decisions]


@pytest.mark.parametrize("concurrency", [3, 12])
async def test_an_allocation_is_replayed_with_the_crowd_that_it_saw(concurrency):
    total = tts.Budget(completion_tokens=2500)
    taken = decisions(await collected(Allocation(), total_budget=total, concurrency=concurrency))
    assert {d.basis.coming for d in taken} >= {0}
    assert replay(Allocation(), taken) == []


@pytest.mark.parametrize("controller", CONTROLLERS, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize("total", [None, tts.Budget(completion_tokens=1500)])
@pytest.mark.parametrize("jitter", [0, 1])
async def test_decisions_are_the_same_again(controller, total, jitter):
    taken = decisions(await collected(controller, jitter=jitter, total_budget=total))
    assert len(taken) > len(PROBLEMS)
    assert {d.basis.shared for d in taken} == {total is not None}
    assert replay(controller, reversed(taken)) == []


async def test_another_controller_decides_otherwise_and_it_is_said_where():
    taken = decisions(await collected(BetaStopping(batch=2)))
    found = replay(BetaStopping(batch=3), taken)
    assert {d.problem_id for d in found} == {p.id for p in PROBLEMS}
    assert "turn 1: granted 2 (no votes), and now granted 3" in str(found[0])
    assert replay(Thrifty(), taken), "asks what nobody had asked"


async def test_a_log_with_a_line_changed_is_found_out():
    taken = decisions(await collected(Thrifty(), total_budget=tts.Budget(completion_tokens=1500)))
    place = next(i for i, d in enumerate(taken) if isinstance(d, Stop))
    forged = [*taken[:place], replace(taken[place], reason="no reason"), *taken[place + 1 :]]
    (found,) = replay(Thrifty(), forged)
    assert found.logged.reason == "no reason" and isinstance(found.again, Stop)


async def test_problems_whose_time_is_up_while_they_wait_are_replayed_too():
    class Waits(Thrifty):
        """Serves the second half once the first is served, and three never."""

        def decide(self, evidence, pot):
            served = [p for p in evidence if p not in ("p1", "p2", "p3")]
            return [Grant(p, 1, f"of {sorted(evidence)}") for p in served]

    clock = VirtualClock()
    backend = SimulatedBackend(lambda p, node, seed: Step("\\boxed{1}", 5, True, 1.0), clock=clock)
    results = [
        r
        async for r in tts.solve_all(
            PROBLEMS,
            strategy=tts.SelfConsistency(n=3),
            backend=backend,
            controller=Waits(),
            budget=tts.Budget(seconds=0.2),
            total_budget=tts.Budget(calls=1000),
        )
    ]
    taken = decisions(results)
    assert {d.problem_id for d in taken if d.basis.by != "controller"} == {"p1", "p2", "p3"}
    assert replay(Waits(), taken) == []


async def test_optimal_stopping_is_replayed():
    rule = OptimalStopping()
    taken = decisions(await collected(rule, FirstAccepted(accept=0.9)))
    assert any(isinstance(d, Stop) for d in taken)
    assert replay(rule, taken) == []


def test_a_decision_without_a_basis_cannot_be_replayed():
    with pytest.raises(ConfigError, match="does not say what it rested on"):
        replay(Thrifty(), [Grant("p", 1)])
