"""The beam without barriers: who gets a place and when, what it shares with the beam, replaying."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tts
from tests.strategies.trees import Tree, drive
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.errors import ConfigError
from tts.seeds import derive
from tts.strategies import BeamSearch
from tts.strategies._frontier import Child, Drop, Expand, Finish
from tts.strategies.async_beam import AsyncBeam, Ladder
from tts.testing import LengthVerifier, World
from tts.types import Candidate, Problem, Score, Segment

seeds = st.integers(0, 10**6)


@settings(deadline=None)
@given(seeds, st.integers(1, 4), st.integers(1, 4), st.integers(1, 12), st.integers(1, 2))
def test_it_ends_with_as_many_draws_and_places_as_a_beam_has_at_most(
    seed, width, beams, slots, copies
):
    """Whatever arrives when, fails, is cut short, ends, or is said twice."""
    n = width * beams
    ladder = Ladder(n, width, max_steps=5)
    told, dropped = drive(ladder, Tree(seed, 5, copies), slots, random.Random(seed), faults=0.2)
    assert len(set(told)) == len(told) and not {*told} & {*dropped}
    counts = ladder.counts()
    assert all(0 < seen <= n for seen in counts["seen"])
    assert all(promoted <= beams for promoted in counts["promoted"])
    assert len(told) <= sum(counts["seen"]), "answers that keep their place are seen again"
    assert not ladder._flying and not ladder._due


@settings(deadline=None)
@given(seeds, st.integers(1, 6))
def test_nothing_but_the_order_of_arrival_decides(seed, slots):
    tree = Tree(seed, 6)
    plain, faulty = Ladder(8, 2, 6), Ladder(8, 2, 6)
    order, dropped = drive(plain, tree, slots, random.Random(seed))
    again = drive(faulty, tree, slots, random.Random(seed), faults=0.3, order=order)
    assert again == (order, dropped)
    assert faulty.counts() == plain.counts()


# --- by hand ------------------------------------------------------------------------------------


def tell(ladder, step, score, *, ended=False, dead=False, text=None, tokens=1):
    node = step.node.extend(
        Segment(text or f"{step.child}."), child=step.child, clock=step.node.clock + tokens
    ).scored(Score(score, "probability"))
    candidate = Candidate(node, None) if ended else None
    ladder.tell(step, Child(node, open=not (ended or dead), ended=candidate))
    return node


def keys(actions, kind):
    return [a.node.key if kind is Expand else a.step.name for a in actions if isinstance(a, kind)]


def test_the_best_of_the_first_width_goes_on_before_the_others_are_there():
    ladder = Ladder(8, 4)
    steps = ladder.ask(8)
    assert len(steps) == 8
    nodes = [tell(ladder, step, score) for step, score in zip(steps, (0.3, 0.5, 0.4), strict=False)]
    assert ladder.ask(3) == []
    tell(ladder, steps[3], 0.1)
    asked = ladder.ask(4)
    assert keys(asked, Expand) == [nodes[1].key] * 4
    assert [step.child for step in asked] == [0, 1, 2, 3]


def test_with_all_places_taken_those_in_flight_are_dropped():
    ladder = Ladder(8, 4)
    steps = ladder.ask(8)
    for step in steps[:4]:
        tell(ladder, step, 0.5)
    assert len(ladder.ask(4)) == 4
    better = tell(ladder, steps[4], 0.9)
    actions = ladder.ask(1)
    assert keys(actions[:3], Drop) == [step.name for step in steps[5:]]
    assert keys(actions[3:], Expand) == [better.key] * 4, "in the slots that have come free"


def test_places_that_are_left_go_to_the_best_when_nothing_more_can_come():
    ladder = Ladder(8, 4)
    steps = ladder.ask(8)
    scores = (0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.8)
    nodes = [tell(ladder, step, score) for step, score in zip(steps, scores, strict=False)]
    assert keys(ladder.ask(7), Expand) == [nodes[0].key] * 4
    assert ladder.ask(3) == []
    tell(ladder, steps[7], 0.6)
    assert keys(ladder.ask(4), Expand) == [nodes[6].key] * 4


def test_copies_share_a_place_and_the_earlier_of_equals_comes_first():
    ladder = Ladder(4, 2)
    steps = ladder.ask(4)
    first = tell(ladder, steps[0], 0.5, text="same")
    tell(ladder, steps[1], 0.5, text="same")
    assert keys(ladder.ask(2), Expand) == [first.key] * 2
    second = tell(ladder, steps[2], 0.5, text="other")
    tell(ladder, steps[3], 0.5, text="another")
    assert keys(ladder.ask(2), Expand) == [second.key] * 2


@pytest.mark.parametrize(
    ("scores", "draws"), [((0.95, 0.92), 4), ((0.95, 0.5), 2), ((0.5, 0.4), 2)]
)
def test_an_answer_that_has_ended_keeps_its_place_as_long_as_its_score_does(scores, draws):
    ladder = Ladder(4, 2)
    steps = ladder.ask(4)
    tell(ladder, steps[0], 0.9, ended=True)
    tell(ladder, steps[1], 0.1)
    assert ladder.ask(2) == [], "it takes a place, and needs no draw"
    other = tell(ladder, steps[2], 0.3)
    tell(ladder, steps[3], 0.2)
    pair = ladder.ask(4)
    assert keys(pair, Expand) == [other.key] * 2
    for step, score in zip(pair, scores, strict=True):
        tell(ladder, step, score)
    assert len(ladder.ask(4)) == draws


def test_a_step_begins_when_all_that_decided_it_are_known():
    ladder = Ladder(4, 2)
    steps = ladder.ask(4)
    tell(ladder, steps[0], 0.9, tokens=3)
    tell(ladder, steps[1], 0.1, tokens=7)
    assert {step.node.clock for step in ladder.ask(2)} == {7}
    tell(ladder, steps[2], 0.3, tokens=50)
    tell(ladder, steps[3], 0.2, tokens=20)
    assert {step.node.clock for step in ladder.ask(2)} == {50}


def test_a_place_that_was_left_is_known_when_all_above_are():
    ladder = Ladder(4, 2)
    steps = ladder.ask(4)
    tell(ladder, steps[0], 0.9, tokens=3)
    tell(ladder, steps[1], 0.1, tokens=7, dead=True)
    for step in ladder.ask(2):
        tell(ladder, step, 0.5)
    assert {step.node.clock for step in ladder.ask(2)} == {8}
    assert ladder.ask(2) == [], "others may still come"
    tell(ladder, steps[2], 0.1, tokens=50, dead=True)
    tell(ladder, steps[3], 0.1, tokens=20, dead=True)
    assert {step.node.clock for step in ladder.ask(2)} == {50}


def test_at_the_last_depth_nothing_goes_on_and_all_are_waited_for():
    ladder = Ladder(4, 2, max_steps=1)
    for told, step in enumerate(ladder.ask(4)):
        assert ladder.ask(told) == []
        tell(ladder, step, told / 8, ended=True)
    assert ladder.ask(4) == [Finish()]


# --- with a backend -----------------------------------------------------------------------------


async def solved(problem, backend, strategy, **options):
    options = {"verifier": LengthVerifier(), "max_tokens": 400, **options}
    return await tts.solve(problem, strategy=strategy, backend=backend, **options)


def found(result):
    return {c.trajectory.text for c in result.candidates}


@pytest.mark.parametrize("jitter", range(5))
@pytest.mark.parametrize("n", [1, 2, 6])
async def test_with_a_single_place_it_is_beam_search(problem, n, jitter):
    beam = await solved(problem, World(jitter).backend(), BeamSearch(n, n))
    free = await solved(problem, World(jitter).backend(), AsyncBeam(n, n))
    assert found(free) == found(beam)
    assert free.best.trajectory.text == beam.best.trajectory.text
    assert free.usage.completion_tokens == beam.usage.completion_tokens
    assert free.usage.verifier_calls == beam.usage.verifier_calls


async def test_a_recorded_order_gives_the_same_search_at_other_latencies(problem):
    strategy = AsyncBeam(8, 2)
    first = await solved(problem, World(0).backend(), strategy)
    orders = set()
    for jitter in range(1, 6):
        plain = await solved(problem, World(jitter).backend(), strategy)
        orders.add(tuple(plain.details["order"]))
        again = await solved(problem, World(jitter).backend(), strategy.replaying([first]))
        assert [c.trajectory.text for c in again.candidates] == [
            c.trajectory.text for c in first.candidates
        ]
        assert again.details == first.details
    assert len(orders) > 1, "without it, latencies would have decided"


async def test_orders_are_told_apart_by_problem_and_repeat(world):
    problems = [Problem("p", prompt="?"), Problem("p", prompt="?", repeat=1)]
    results = [await solved(p, World(3).backend(), AsyncBeam()) for p in problems]
    again = AsyncBeam().replaying([*results, tts.Result("other", None)])
    assert len(again.order) == 2
    for problem, result in zip(problems, results, strict=True):
        assert (await solved(problem, world.backend(), again)).details == result.details


async def test_what_comes_too_late_is_aborted_and_no_stream_stays_open(problem):
    backend = World(1).backend()
    result = await solved(problem, backend, AsyncBeam(16, 2))
    aborted = [leaf for leaf in result.tree if leaf.finish == "abort"]
    assert aborted and backend.open_streams == 0
    assert len(result.details["seen"]) == 3 and sum(result.details["seen"]) < 3 * 16


def lognormal(problem, node, seed):
    rng = random.Random(derive(seed, "step"))
    seconds = math.exp(0.75 * rng.gauss(0, 1))
    if node.depth == 7:
        return Step(f"\\boxed{{{rng.randint(0, 9)}}}", 10, True, seconds)
    return Step(f"{rng.random()}\n\n", 10, False, seconds)


async def test_it_takes_less_than_seven_tenths_of_a_beams_time():
    """On a virtual clock, which is the same on every machine."""

    async def seconds(strategy, number):
        clock = VirtualClock()
        backend = SimulatedBackend(lognormal, clock=clock)
        await solved(Problem(f"p{number}", prompt="?"), backend, strategy)
        return clock.now

    beam, free = [
        sum([await seconds(strategy, number) for number in range(10)])
        for strategy in (BeamSearch(), AsyncBeam())
    ]
    assert free < 0.7 * beam


async def test_a_budget_keeps_the_best_answer_so_far(problem):
    full = await solved(problem, World(2).backend(), AsyncBeam())
    for share in (0.95, 0.8):
        calls = int(share * (full.usage.calls + full.usage.verifier_calls))
        budget = tts.Budget(calls=calls)
        result = await solved(problem, World(2).backend(), AsyncBeam(), budget=budget)
        assert result.limit == "calls" and result.best in (*result.candidates, None)
        assert result.usage.calls + result.usage.verifier_calls <= calls


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"width": 0}, "width is 0"), ({"n": 3, "width": 4}, "n is 3; it must be at least 4")],
)
def test_a_beam_without_width_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=rf"strategy\.{said}"):
        AsyncBeam(**wrong)
