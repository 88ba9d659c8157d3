"""One pot over many problems: who is fed, who waits, who ends, and that the pot is never passed."""

from __future__ import annotations

import random
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tts
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.budget import Allocation, Budget, Pot
from tts.budget.replay import replay
from tts.errors import ConfigError
from tts.testing import check_controller
from tts.types import (
    Answer,
    Candidate,
    Evidence,
    Grant,
    ModelInfo,
    Problem,
    Stop,
    Trajectory,
    Usage,
)


class Crowd:
    """A desk as a controller sees it."""

    def __init__(self, left, present, coming=0, limit="calls", spent=0):
        self.left, self.present, self.coming, self.limit = left, present, coming, limit
        self.spent = Usage(calls=spent)

    def remaining(self, limit):
        return self.left if limit == self.limit else float("inf")


def seen(votes, wants=30, tokens=0, scores=None):
    """Evidence of votes such as 'aab', where a dot is a sample without an answer."""
    marks = scores or [None] * len(votes)
    found = tuple(
        Candidate(
            Trajectory.root().scored(tts.types.Score(mark, "probability"))
            if mark is not None
            else Trajectory.root(),
            None if key == "." else Answer(key, key),
        )
        for key, mark in zip(votes, marks, strict=True)
    )
    return Evidence(found, wants, Usage(calls=len(votes), completion_tokens=tokens))


def test_newcomers_are_served_at_once_and_others_wait_for_all():
    evidence = {"old": seen("abc"), "new": seen(""), "short": seen("", wants=2)}
    decisions = Allocation(first=4).decide(evidence, Crowd(100, present=5))
    assert {d.problem_id: d.samples for d in decisions} == {"new": 4, "short": 2}
    assert Allocation().decide({"old": seen("abc")}, Crowd(100, present=2)) == []


def test_a_close_call_is_fed_before_a_safe_lead_and_before_a_hopeless_one():
    evidence = {"safe": seen("a" * 8), "close": seen("aaaabbbb"), "lost": seen("abcdefgh")}
    evidence |= {f"easy{i}": seen("aaaaaaab") for i in range(6)}
    (grant,) = Allocation(batch=2, share=0.01).decide(evidence, Crowd(50, present=9))
    assert (grant.problem_id, grant.samples) == ("close", 2)
    assert "place 1 of 9" in grant.reason and "50 samples are left" in grant.reason


def test_what_costs_less_is_fed_first_where_the_gain_is_the_same():
    evidence = {"dear": seen("aabb", tokens=4000), "cheap": seen("aabb", tokens=400)}
    crowd = Crowd(10_000, present=2, limit="completion_tokens")
    (grant,) = Allocation(share=0.01).decide(evidence, crowd)
    assert grant.problem_id == "cheap"


def test_a_round_grants_a_part_of_what_is_left_and_never_more_than_that():
    evidence = {f"p{i}": seen("aabb") for i in range(50)}
    decisions = Allocation(share=0.1, batch=3).decide(evidence, Crowd(100, present=50))
    assert [d.samples for d in decisions] == [3, 3, 3, 1]
    last = Allocation(share=0.1, batch=3).decide(evidence, Crowd(2, present=50))
    assert [d.samples for d in last] == [2]


def test_when_the_pot_is_used_up_all_end_and_are_told_why():
    evidence = {"p": seen("aabb"), "q": seen("aaab")}
    decisions = Allocation().decide(evidence, Crowd(0, present=2))
    assert all(isinstance(d, Stop) and "the pot is used up" in d.reason for d in decisions)
    assert len(decisions) == 2


def test_those_at_the_desk_leave_the_others_their_part():
    # Ten have spent 40 of 400; the thirty that are to come have as much each as they.
    evidence = {f"p{i}": seen("aabb") for i in range(10)}
    room = Allocation(share=1.0, batch=30)
    decisions = room.decide(evidence, Crowd(360, present=10, coming=30))
    assert sum(d.samples for d in decisions) == (360 + 40) // 4 - 40


def test_the_worse_half_makes_room_for_those_that_are_to_come():
    evidence = {"close": seen("aabb"), "safe": seen("aaaa")}
    crowd = Crowd(8, present=2, coming=2)
    (stop,) = Allocation().decide(evidence, crowd)
    assert stop == Stop("safe", stop.reason) and "makes room" in stop.reason


def test_whom_a_sample_helps_too_little_is_stopped_and_the_rest_goes_on():
    evidence = {"close": seen("aaabbb"), "safe": seen("a" * 6)}
    decisions = Allocation(least=0.005).decide(evidence, Crowd(50, present=2))
    kinds = {d.problem_id: type(d) for d in decisions}
    assert kinds == {"close": Grant, "safe": Stop}


def test_scores_feed_those_that_may_still_improve():
    evidence = {
        "done": seen("aaa", scores=[0.97, 0.95, 0.9]),
        "open": seen("abc", scores=[0.3, 0.6, 0.5]),
        "lost": seen("abc", scores=[0.01, 0.01, 0.02]),
    }
    (grant,) = Allocation(signal="scores", share=0.01).decide(evidence, Crowd(20, present=3))
    assert grant.problem_id == "open"


def test_scores_that_are_not_there_are_named():
    with pytest.raises(ConfigError, match=r"controller\.signal is 'scores'"):
        Allocation(signal="scores").decide({"p": seen("ab")}, Crowd(20, present=1))


def test_a_pot_of_ones_own_is_refused():
    for pot in (Pot(Budget(calls=8)), Crowd(float("inf"), present=1)):
        with pytest.raises(ConfigError, match="divides one budget among all problems"):
            Allocation().decide({"p": seen("")}, pot)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"first": 0}, r"controller\.first is 0"),
        ({"batch": 0}, r"controller\.batch is 0"),
        ({"signal": "luck"}, r"controller\.signal is 'luck'"),
        ({"share": 0}, r"controller\.share is 0"),
        ({"share": 1.1}, r"controller\.share is 1\.1"),
        ({"least": -1}, r"controller\.least is -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        Allocation(**wrong)


@given(
    st.lists(st.text("abc.", min_size=1, max_size=8), min_size=1, max_size=12),
    st.integers(0, 60),
    st.integers(0, 20),
    st.sampled_from([1, 2, 5]),
)
@settings(deadline=None)
def test_grants_stay_within_what_is_left_and_somebody_always_moves(votes, left, coming, batch):
    evidence = {f"p{i}": seen(v, wants=1 + len(v)) for i, v in enumerate(votes)}
    controller = Allocation(batch=batch)
    crowd = Crowd(left, present=len(evidence), coming=coming)
    decisions = controller.decide(evidence, crowd)
    assert decisions == controller.decide(evidence, crowd)
    names = [d.problem_id for d in decisions]
    assert len(names) == len(set(names)) and set(names) <= evidence.keys()
    assert decisions, "nobody would ever ask again"
    grants = [d for d in decisions if isinstance(d, Grant)]
    assert sum(d.samples for d in grants) <= left
    assert all(1 <= d.samples <= evidence[d.problem_id].wants for d in grants)


# --- on a backend -------------------------------------------------------------------------------


def backend(jitter=0):
    """Even problems are clear, odd ones a toss-up; ten tokens an answer, in any order."""

    def simulate(problem, node, seed):
        rng = random.Random(seed)
        sure = int(problem.id) % 2 == 0
        answer = 1 if sure else rng.choice([1, 2])
        latency = random.Random(f"{jitter} {seed}").random()
        return Step(f"\\boxed{{{answer}}}", 10, True, latency)

    return SimulatedBackend(simulate, ModelInfo("simulated"), VirtualClock())


async def solved(budget, *, n_problems=20, jitter=0, **options):
    problems = [Problem(str(i), prompt="?") for i in range(n_problems)]
    options = {"controller": Allocation(first=4), "concurrency": n_problems, **options}
    run = tts.solve_all(
        problems,
        strategy=tts.SelfConsistency(n=40),
        backend=backend(jitter),
        max_tokens=10,
        total_budget=budget,
        **options,
    )
    async with aclosing(run) as results:
        return {r.problem_id: r async for r in results}


async def test_the_pot_goes_to_those_in_doubt_and_is_not_passed():
    results = await solved(Budget(calls=200))
    drawn = {name: len(r.candidates) for name, r in results.items()}
    assert sum(drawn.values()) == 200
    clear, doubtful = ([drawn[str(i)] for i in range(first, 20, 2)] for first in (0, 1))
    assert max(clear) <= min(doubtful) and sum(doubtful) > 2 * sum(clear)
    assert all(r.error is None and r.answer for r in results.values())
    reasons = [d.reason for r in results.values() for d in r.decisions]
    assert all(reasons)


async def test_it_is_the_same_in_any_order_of_problems_in_flight():
    once, again = await solved(Budget(calls=150)), await solved(Budget(calls=150), jitter=1)
    assert {k: len(r.candidates) for k, r in once.items()} == {
        k: len(r.candidates) for k, r in again.items()
    }


@pytest.mark.parametrize("concurrency", [1, 3, 8])
async def test_few_in_flight_leave_something_for_the_last(concurrency):
    results = await solved(Budget(completion_tokens=1600), concurrency=concurrency)
    drawn = [len(r.candidates) for r in results.values()]
    assert len(results) == 20 and min(drawn) >= 4
    assert sum(drawn) * 10 <= 1600


@pytest.mark.parametrize("concurrency", [4, 20])
async def test_its_decisions_can_be_taken_again_from_the_log(concurrency):
    results = await solved(Budget(calls=150), concurrency=concurrency)
    log = [d for r in results.values() for d in r.decisions]
    assert replay(Allocation(first=4), log) == []
    assert replay(Allocation(first=4, batch=1), log) != []


async def test_the_contract_of_controllers():
    await check_controller(Allocation())


async def test_a_run_without_a_shared_pot_is_refused_before_anything_is_spent():
    with pytest.raises(ConfigError, match="divides one budget") as error:
        await solved(None, n_problems=2)
    assert "total_budget" in error.value.hint
