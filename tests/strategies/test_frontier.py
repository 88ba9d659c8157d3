"""The driver of tree searches: its contract, faults that leave no trace, budgets, replaying."""

from __future__ import annotations

import copy
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tts
from tests.strategies.inside import inside
from tests.strategies.trees import Tree
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.errors import (
    BackendError,
    BudgetExhausted,
    EndpointDown,
    EngineDead,
    StrategyError,
    VerifierError,
)
from tts.strategies import Stepper
from tts.strategies._frontier import ATTEMPTS, Child, Drop, Expand, Finish, Frontier
from tts.strategies._steps import Harvest
from tts.strategies.a_star import AStar, Search
from tts.strategies.async_beam import AsyncBeam, Ladder, Level
from tts.testing import LengthVerifier, World
from tts.types import Segment, Trajectory

ROOT = Trajectory.root()
ENDED = ROOT.extend(Segment("4"), child=0, clock=1, finish="stop")


@dataclass
class Script:
    """A policy that says its lines, one at each `ask`, and remembers what it was told."""

    lines: list
    told: list = field(default_factory=list)

    def ask(self, free):
        return self.lines.pop(0) if self.lines else []

    def tell(self, step, outcome):
        self.told.append((step, outcome))

    @property
    def order(self):
        return [step.child for step, _ in self.told]


def steps(*children, node=ROOT):
    return [Expand(node, child) for child in children]


def waiting(*seconds):
    """A backend whose `i`-th draw from the start takes `seconds[i]`."""
    draws = iter(seconds)

    def simulate(problem, node, seed):
        wait = next(draws)
        if isinstance(wait, Exception):
            raise wait
        return Step(f"{seed}\n\n", 4, False, wait)

    return SimulatedBackend(simulate, clock=VirtualClock())


async def driven(policy, problem, backend, *, slots=4, order=(), stepper=None, **options):
    """Run a policy in the driver; the driver afterwards, and the result."""

    async def look(problem, env):
        harvest = Harvest(env, tts.BestScore())
        drivers.append(Frontier(problem, stepper or Stepper(), policy, slots, harvest, order))
        await drivers[0].run()

    drivers = []
    result = await inside(look, problem, backend, **{"verifier": LengthVerifier(), **options})
    return drivers[0], result


# --- its contract -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "Script asked for nothing, has nothing in flight, and is not done"),
        ([steps(0, 1, 2, 3, 4)], "more than there are slots"),
        ([steps(0, 0)], "asked for a step in flight"),
        ([steps(0, node=ENDED)], "expanded an answer that cannot be continued"),
    ],
)
async def test_a_policy_that_breaks_its_contract_is_named(world, problem, lines, said):
    backend = world.backend()
    with pytest.raises(StrategyError, match=said):
        await driven(Script(lines), problem, backend)
    assert backend.open_streams == 0


async def test_steps_are_told_as_they_arrive_and_what_is_next_begins_at_once(problem):
    backend = waiting(3.0, 1.0, 5.0, 1.0, 1.0)
    script = Script([steps(0, 1, 2), steps(3), steps(4), [], [], [Finish()]])
    await driven(script, problem, backend)
    assert script.order == [1, 3, 0, 4, 2]
    assert backend.clock.now == 5.0


async def test_a_child_is_open_or_ended_or_of_no_use(problem):
    def simulate(problem, node, seed):
        kinds = (
            ("2 + 2\n\n", 4, False),
            ("\\boxed{4}\n\n", 4, False),
            ("4", 1, True),
            ("x", 99, False),
        )
        return Step(*kinds[next(draws)])

    draws = iter(range(4))
    script = Script([steps(0, 1, 2, 3), [], [], [], [Finish()]])
    driver, _ = await driven(script, problem, SimulatedBackend(simulate), max_tokens=9)
    outcomes = {step.child: outcome for step, outcome in script.told}
    assert [outcomes[i].open for i in range(4)] == [True, False, False, False]
    assert [bool(outcomes[i].ended) for i in range(4)] == [False, True, True, False]
    assert outcomes[1].ended.answer.text == "4"
    assert len(driver.harvest.candidates) == 2


async def test_an_answer_that_has_had_all_its_steps_is_of_no_use(world, problem):
    script = Script([steps(0), [Finish()]])
    await driven(script, problem, world.backend(), stepper=Stepper(max_steps=1))
    assert not script.told[0][1].open


async def test_what_is_dropped_is_aborted_and_frees_its_slot(problem):
    backend = waiting(1.0, 1000.0, 2.0, 3.0)
    lines = [steps(0, 1), [Drop(Expand(ROOT, 1)), *steps(2, 3)], [], [Finish()]]
    script = Script(lines)
    _, result = await driven(script, problem, backend, slots=2)
    assert script.order == [0, 2, 3]
    assert backend.clock.now < 1000 and backend.open_streams == 0
    assert [leaf.finish for leaf in result.tree].count("abort") == 1


async def test_the_end_aborts_what_is_in_flight(problem):
    backend = waiting(1.0, 1000.0, 1000.0)
    script = Script([steps(0, 1, 2), [Finish()]])
    _, result = await driven(script, problem, backend)
    assert script.order == [0]
    assert backend.clock.now < 1000 and backend.open_streams == 0
    assert [leaf.finish for leaf in result.tree].count("abort") == 2


@pytest.mark.parametrize("jitter", range(4))
@pytest.mark.parametrize(
    ("strategy", "slots"), [(AStar(k=3, pops=2), 6), (AsyncBeam(8, 2), 8), (AsyncBeam(9, 3), 9)]
)
async def test_no_more_streams_are_open_than_there_are_slots(problem, strategy, slots, jitter):
    backend = World(jitter).backend()
    simulate, open_streams = backend.simulate, []

    def watched(problem, node, seed):
        open_streams.append(backend.open_streams)
        return simulate(problem, node, seed)

    backend.simulate = watched
    await tts.solve(problem, strategy=strategy, backend=backend, verifier=LengthVerifier())
    assert max(open_streams) == slots


# --- faults -------------------------------------------------------------------------------------

POLICIES = {
    "a_star": lambda: Search(k=3, pops=2),
    "a_star_capped": lambda: Search(k=2, cap=3, cost="none"),
    "async_beam": lambda: Ladder(8, 2, 5),
    "async_beam_wide": lambda: Ladder(6, 3, 5),
}


def snapshot(value):
    if isinstance(value, Search | Ladder | Level):
        return {name: snapshot(part) for name, part in vars(value).items()}
    return [snapshot(part) for part in value] if isinstance(value, list) else copy.copy(value)


@settings(deadline=None)
@given(st.sampled_from(sorted(POLICIES)), st.integers(0, 10**6), st.integers(1, 8))
def test_after_a_fault_a_policy_is_as_if_it_had_not_asked(name, seed, slots):
    policy, tree, rng, flying = POLICIES[name](), Tree(seed), random.Random(seed), []
    while True:
        for action in policy.ask(slots - len(flying)):
            if isinstance(action, Finish):
                return
            flying.remove(action.step) if isinstance(action, Drop) else flying.append(action)
        before = snapshot(policy)
        failed = rng.sample(flying, rng.randint(0, len(flying)))
        for step in failed:
            policy.tell(step, BackendError("The cable is out."))
        assert (snapshot(policy) == before) == (not failed)
        again = policy.ask(slots - len(flying) + len(failed))
        assert set(again) == set(failed) and len(again) == len(failed)
        assert snapshot(policy) == before
        step = flying.pop(rng.randrange(len(flying)))
        policy.tell(step, tree.child(step))


def flaky(backend, error, share):
    """The backend, of whose draws a share fails, each at most twice; and how often they did."""
    simulate, faults = backend.simulate, Counter()

    def simulated(problem, node, seed):
        tries = faults[seed] < ATTEMPTS - 1
        if tries and random.Random(f"{seed} {faults[seed]}").random() < share:
            faults[seed] += 1
            raise error
        return simulate(problem, node, seed)

    backend.simulate = simulated
    return faults


SEARCHES = [
    AStar(),
    AStar(k=3, pops=3, cost="drops"),
    AStar(cost="none", frontier=4, max_expansions=2),
    AsyncBeam(),
    AsyncBeam(9, 3),
]


def same(one, other):
    """What two searches found, and how."""
    texts = [[c.trajectory.text for c in result.candidates] for result in (one, other)]
    return texts[0] == texts[1] and (one.answer, one.details) == (other.answer, other.details)


@pytest.mark.parametrize("strategy", SEARCHES, ids=lambda s: type(s).__name__)
async def test_faults_of_single_steps_leave_no_trace(problem, strategy):
    how = {"verifier": LengthVerifier(), "max_tokens": 100}
    plain = await tts.solve(problem, strategy=strategy, backend=World().backend(), **how)
    if isinstance(strategy, AsyncBeam):
        strategy = strategy.replaying([plain])
    for jitter in range(3):
        backend = World(jitter).backend()
        faults = flaky(backend, BackendError("The cable is out."), 0.3)
        result = await tts.solve(problem, strategy=strategy, backend=backend, **how)
        assert same(result, plain)
        assert faults.total() > 2 and backend.open_streams == 0


@pytest.mark.parametrize("strategy", SEARCHES, ids=lambda s: type(s).__name__)
async def test_the_death_of_an_engine_fails_many_steps_but_each_only_once(problem, strategy):
    class Mortal(VirtualClock):
        sleeps, killed = 0, 0

        async def sleep(self, seconds):
            self.sleeps += 1
            if self.sleeps in (4, 9):
                for *_, future in self._sleepers:
                    if not future.done():
                        self.killed += 1
                        future.set_exception(EngineDead("The engine has died."))
            await super().sleep(seconds)

    how = {"verifier": LengthVerifier(), "max_tokens": 100}
    plain = await tts.solve(problem, strategy=strategy, backend=World().backend(), **how)
    if isinstance(strategy, AsyncBeam):
        strategy = strategy.replaying([plain])
    world = World(clock=Mortal())
    result = await tts.solve(problem, strategy=strategy, backend=world.backend(), **how)
    assert same(result, plain)
    assert world.clock.killed > ATTEMPTS


async def test_the_third_fault_of_one_step_ends_the_search(problem):
    fault = BackendError("The cable is out.")
    backend = waiting(fault, 9.0, fault, fault, 1.0)
    script = Script([steps(0, 1), steps(0), steps(0)])
    with pytest.raises(BackendError, match="The cable is out"):
        await driven(script, problem, backend)
    assert script.order == [0, 0], "the last one is not told but raised"
    assert backend.open_streams == 0


async def test_faults_of_different_steps_do_not_add_up(problem):
    fault = BackendError("The cable is out.")
    backend = waiting(fault, fault, fault, 1.0, 1.0, 1.0)
    script = Script([steps(0, 1, 2), steps(0), steps(1), steps(2), [], [], [Finish()]])
    await driven(script, problem, backend)
    assert [isinstance(outcome, Child) for _, outcome in script.told] == [False] * 3 + [True] * 3


async def test_a_fault_for_good_ends_the_search_at_once(problem):
    backend = waiting(1.0, EndpointDown("Closed for the winter."))
    script = Script([steps(0, 1)])
    with pytest.raises(EndpointDown, match="winter"):
        await driven(script, problem, backend)
    assert script.told == [] and backend.open_streams == 0


async def test_a_fault_of_the_verifier_ends_the_search(world, problem):
    class Failing(LengthVerifier):
        async def score(self, problem, trajectories, ctx):
            raise VerifierError("It has no opinion.")

    backend = world.backend()
    with pytest.raises(VerifierError, match="no opinion"):
        await driven(Script([steps(0, 1)]), problem, backend, verifier=Failing())
    assert backend.open_streams == 0


# --- budgets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(), ("/1", "/9")], ids=["free", "recorded with more"])
async def test_out_of_budget_nothing_more_is_asked_and_what_is_in_flight_is_told(problem, order):
    backend = waiting(2.0, BudgetExhausted("Nothing is left.", limit="calls"), 3.0)
    script = Script([steps(0, 1, 2), steps(3)])
    driver, _ = await driven(script, problem, backend, order=order)
    assert driver.dry and script.lines == [steps(3)]
    assert script.order == [1, 0, 2]


async def test_what_the_budget_can_pay_is_told(world, problem):
    script = Script([steps(0, 1, 2, 3), [], [], []])
    budget = tts.Budget(calls=6)  # three steps with their judgements
    driver, result = await driven(script, problem, world.backend(), budget=budget)
    assert driver.dry and result.usage.verifier_calls == 3
    assert sorted(type(outcome).__name__ for _, outcome in script.told) == [
        "BudgetExhausted",
        *["Child"] * 3,
    ]


# --- replaying ----------------------------------------------------------------------------------


async def test_a_recorded_order_is_taken_and_what_comes_after_it_as_it_arrives(problem):
    lines = [steps(0, 1, 2, 3), [], [], [], [Finish()]]
    script = Script(lines)
    driver, _ = await driven(script, problem, waiting(1.0, 2.0, 4.0, 3.0), order=("/2", "/0"))
    assert script.order == [2, 0, 1, 3]
    assert driver.arrived == ["/2", "/0", "/1", "/3"]


async def test_the_order_of_another_search_is_refused(world, problem):
    result = await tts.solve(
        problem, strategy=AsyncBeam(8, 2), backend=world.backend(), verifier=LengthVerifier()
    )
    other = AsyncBeam(8, 4).replaying([result])
    with pytest.raises(StrategyError, match=r"does not fit this search: step .* is not in flight"):
        await tts.solve(problem, strategy=other, backend=world.backend(), verifier=LengthVerifier())
