"""A*-decoding: exhaustive search, an independent account of each reading, ties, and its ends."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tts
from tests.strategies.trees import Tree, drive
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import ConfigError, VerifierError
from tts.seeds import derive
from tts.strategies._frontier import Child, Expand, Finish
from tts.strategies.a_star import AStar, Search
from tts.testing import LengthVerifier
from tts.types import Answer, Candidate, Published, Score, Segment, Trajectory

COSTS = ("consistent", "drops", "none")
ROOT = Trajectory.root()
RIGHT = r"\boxed{1}"


def h(node):
    return 1.0 if node.score is None else 1 - node.score.raw


def f(node, cost):
    """g + h by the definition of the edges' costs."""
    g = 0.0
    path = [ROOT, *node.nodes()]
    for parent, child in itertools.pairwise(path):
        drop = h(parent) - h(child)
        g += {"consistent": max(0.0, drop), "drops": max(0.0, -drop), "none": 0.0}[cost]
    return g + h(node)


def goals(tree, k, node=ROOT):
    """All answers that `k` draws from every open state lead to."""
    for number in range(k):
        child = tree.child(Expand(node, number))
        if child.ended and child.ended.answer:
            yield child.node
        elif child.open:
            yield from goals(tree, k, child.node)


def pop_by_pop(tree, k, cost):
    """The texts in the order in which a search that knows nothing of heaps pops them."""
    frontier, seen, order = [(ROOT, None)], set(), []
    while frontier:
        # The first of equal ones: first in, first out.
        node, ended = min(frontier, key=lambda s: (f(s[0], cost), h(s[0]), -s[0].depth))
        frontier.remove((node, ended))
        order.append(node.text)
        if ended:
            return order
        for number in range(k):
            child = tree.child(Expand(node, number))
            useful = child.open or (child.ended and child.ended.answer)
            if useful and child.node.text not in seen:
                seen.add(child.node.text)
                frontier.append((child.node, child.ended))
    return order


def searched(tree, slots=None, seed=0, faults=0.0, **how):
    search = Search(**{"max_expansions": 10**6, **how})
    drive(search, tree, slots or search.k * search.pops, random.Random(seed), faults)
    return search


seeds = st.integers(0, 10**6)


@settings(deadline=None)
@given(seeds, st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_under_the_consistent_cost_the_first_goal_is_the_best_of_all(seed, k, depth, pops):
    tree = Tree(seed, depth)
    search = searched(tree, k=k, pops=pops, cost="consistent")
    best = min((f(goal, "consistent") for goal in goals(tree, k)), default=None)
    assert best == (f(search.goal.trajectory, "consistent") if search.goal else None)


@settings(deadline=None)
@given(seeds)
def test_under_the_consistent_cost_f_never_falls(seed):
    search = searched(Tree(seed), k=3, cost="consistent")
    popped = [state.f for state in search.popped]
    assert popped == sorted(popped)
    for state in search.popped:
        along = [f(node, "consistent") for node in state.node.nodes()]
        assert along == sorted(along)
        assert state.f == f(state.node, "consistent")


@settings(deadline=None)
@given(seeds, st.integers(1, 4), st.sampled_from(COSTS), st.integers(1, 2))
def test_pops_are_those_of_an_independent_account(seed, k, cost, copies):
    tree = Tree(seed, copies=copies)
    search = searched(tree, k=k, cost=cost, seed=seed)
    popped = [state.node.text for state in search.popped]
    popped += [search.goal.trajectory.text] if search.goal else []
    assert popped == pop_by_pop(tree, k, cost)


@settings(deadline=None)
@given(seeds, st.integers(1, 3), st.sampled_from(COSTS), st.integers(1, 9))
def test_neither_arrival_nor_slots_nor_faults_change_the_search(seed, pops, cost, slots):
    tree = Tree(seed)
    plain = searched(tree, k=3, pops=pops, cost=cost, seed=1)
    other = searched(tree, k=3, pops=pops, cost=cost, seed=2, slots=slots, faults=0.3)
    assert [s.node.text for s in other.popped] == [s.node.text for s in plain.popped]
    assert [c.trajectory.text for c in other.ended] == [c.trajectory.text for c in plain.ended]
    assert (other.clock, other.end, other.depths()) == (plain.clock, plain.end, plain.depths())


# --- by hand ------------------------------------------------------------------------------------


def fed(search, *rounds):
    """Answer each round of a search; what it continues first in each round, and after the last.

    A child is given by its score, or by score, answer (None if it is open) and text (or None).
    """
    asked = []
    for outcomes in rounds:
        steps = search.ask(99)
        asked.append([step.node.text for step in steps])
        for number, (step, outcome) in enumerate(zip(steps, outcomes, strict=True)):
            score, answer, text = outcome if isinstance(outcome, tuple) else (outcome, None, None)
            node = step.node.extend(
                Segment(text or f"{number}."), child=step.child, clock=step.node.clock + 1
            ).scored(Score(score, "probability"))
            ended = Candidate(node, Answer(answer, answer)) if answer else None
            search.tell(step, Child(node, open=not answer, ended=ended))
    rest = search.ask(99)
    asked.append([step.node.text if isinstance(step, Expand) else "end" for step in rest])
    return [texts[0] for texts in asked]


def unexpanded(result):
    """The steps that nothing continues."""
    texts = [leaf.text for leaf in result.tree if leaf.finish == "step"]
    return [text for text in texts if not any(t != text and t.startswith(text) for t in texts)]


def judgement(problem, text):
    """What `LengthVerifier` says."""
    return random.Random(derive(0, problem.id, text)).random()


def test_of_equal_f_the_smaller_h_comes_first_then_the_deeper_then_the_earlier():
    # All have f = 1, as the scores only rise.
    assert fed(Search(k=2, cost="consistent"), [0.25, 0.5])[-1] == "1."
    assert fed(Search(k=2, cost="consistent"), [0.5, 0.5])[-1] == "0."
    assert fed(Search(k=2, cost="consistent"), [0.5, 0.5], [0.5, 0.25])[-1] == "0.0."
    assert fed(Search(k=2, cost="consistent"), [0.5, 0.5], [0.25, 0.25])[-1] == "1."


def test_a_rise_of_h_costs_what_the_readings_say():
    # After 0.9 comes 0.5; beside it stands 0.3. f of the two: 1.4 and 1; 0.9 and 0.7; 0.5 and 0.7.
    rounds = ([0.9, 0.3], [0.5, 0.1])
    assert fed(Search(k=2, cost="consistent"), *rounds)[-1] == "1."
    assert fed(Search(k=2, cost="drops"), *rounds)[-1] == "1."
    assert fed(Search(k=2, cost="none"), *rounds)[-1] == "0.0."


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_rounding_splits_no_ties(scores):
    search = Search(k=1, cost="consistent")
    fed(search, *([score] for score in sorted(scores)))
    assert {state.f for state in search.popped} == {1.0}


def test_copies_are_one():
    search = Search(k=3)
    fed(search, [(0.5, None, "a"), (0.5, None, "a"), (0.4, None, "b")])
    assert search.depths()["frontier"] == [0, 1], "the best one has been popped, and 'b' is left"


def test_the_worst_of_a_full_frontier_are_dropped():
    search = Search(k=4, cap=2)
    assert fed(search, [0.1, 0.4, 0.3, 0.2], [0.05, 0.06, 0.07, 0.08])[-1] == "2."
    assert search.depths()["frontier"] == [0, 0, 1]


def test_several_are_popped_at_once_and_a_goal_waits_for_the_better_ones():
    search = Search(k=2, pops=2)
    continued = fed(search, [0.9, (0.8, "42", None)], [0.1, 0.2])
    assert continued == ["", "0.", "end"], "the better of the two was continued, and alone"
    assert search.goal.answer.text == "42"
    both = Search(k=2, pops=2)
    fed(both, [0.9, 0.8])
    assert len(both.popped) == 3


def test_a_round_begins_when_all_before_it_are_known():
    search = Search(k=2)
    assert fed(search, [0.9, 0.8], [0.1, 0.2], [0.1, 0.2]) == ["", "0.", "1.", "1.1."]
    assert search.clock == 3, "of steps of one token; the last began at the start"


def test_it_ends_by_goal_or_expansions_or_for_want_of_states():
    ended = Search(k=1)
    fed(ended, [(0.5, "42", None)])
    assert ended.end == "goal" and ended.depths() == {"popped": [1], "frontier": []}
    spent = Search(k=1, max_expansions=1)
    fed(spent, [0.5])
    assert spent.end == "expansions" and spent.depths() == {"popped": [1], "frontier": [0, 1]}
    empty = Search(k=1)
    (step,) = empty.ask(1)
    dead = step.node.extend(Segment("x"), child=0, clock=1).scored(Score(0.5, "probability"))
    empty.tell(step, Child(dead, open=False))
    assert empty.ask(1) == [Finish()] and empty.end == "empty"


# --- with a backend -----------------------------------------------------------------------------


async def solved(problem, backend, strategy, **options):
    options = {"verifier": LengthVerifier(), "max_tokens": 200, **options}
    return await tts.solve(problem, strategy=strategy, backend=backend, **options)


async def test_the_first_goal_is_the_result_and_its_wait_is_on_the_clock(world, problem):
    result = await solved(problem, world.backend(), AStar())
    assert result.details["end"] == "goal"
    assert result.best in result.candidates and result.answer is not None
    rounds = sum(result.details["popped"])
    assert result.usage.calls == result.usage.verifier_calls == 4 * rounds
    assert 5 * rounds <= result.usage.sequential_tokens <= 15 * rounds
    assert result.best.trajectory.clock == result.usage.sequential_tokens


async def test_several_pops_keep_more_in_flight_and_take_fewer_rounds(world, problem):
    one = await solved(problem, world.backend(), AStar(cost="drops"))
    four = await solved(problem, world.backend(), AStar(cost="drops", pops=4))
    assert four.answer is not None
    tokens = [r.usage.completion_tokens / r.usage.sequential_tokens for r in (one, four)]
    assert tokens[1] > tokens[0]


async def test_out_of_expansions_the_best_open_state_is_finished_greedily(problem):
    def simulate(problem, node, seed):
        if not greedy:
            return Step(f"{seed % 997}\n\n", 5, False)
        return Step(RIGHT, 3)

    greedy = []

    class Watched(SimulatedBackend):
        def open(self, request):
            if request.sampling.temperature == 0:
                greedy.append(request)
            return super().open(request)

    result = await solved(problem, Watched(simulate), AStar(max_expansions=3))
    assert result.answer == "1" and result.details["end"] == "expansions"
    (request,) = greedy
    assert request.stop == () and request.child == 4
    assert request.max_tokens == 200 - 5 * request.trajectory.depth
    assert result.usage.calls == 3 * 4 + 1 and result.usage.verifier_calls == 3 * 4
    assert request.trajectory.score.raw == max(judgement(problem, t) for t in unexpanded(result))


async def test_what_the_greedy_finish_cuts_short_is_no_answer(problem):
    backend = SimulatedBackend(lambda p, node, seed: Step(f"The answer is {seed % 9}. ", 5, False))
    result = await solved(problem, backend, AStar(max_expansions=2))
    assert result.answer is None and result.status == "done"


async def test_the_best_answer_seen_so_far_counts_where_none_came_to_the_top(problem):
    class Verifier(LengthVerifier):
        async def score(self, problem, nodes, ctx):
            good = [0.1 if node.finish == "stop" else 0.9 for node in nodes]
            return [Score(raw, "probability") for raw in good]

    def simulate(problem, node, seed):
        final = seed % 2 == 0
        return Step(RIGHT if final else f"{seed % 997}\n\n", 5, final)

    strategy = AStar(max_expansions=3, cost="none")
    result = await solved(problem, SimulatedBackend(simulate), strategy, verifier=Verifier())
    assert result.answer == "1" and result.details["end"] == "expansions"
    assert result.usage.calls == 12, "nothing is finished greedily"


@pytest.mark.parametrize("calls", [8, 11, 16, 21, 40])
async def test_out_of_budget_the_landing_reserve_closes_the_most_promising_state(problem, calls):
    def simulate(problem, node, seed):
        landing = node.segment is not None and node.segment.origin == "forced"
        return Step("7}", 2) if landing else Step(f"{seed % 997}\n\n", 5, False)

    events = []
    budget = tts.Budget(calls=calls, completion_tokens=10_000, landing_tokens=8)
    backend = SimulatedBackend(simulate)
    result = await solved(problem, backend, AStar(), budget=budget, on_event=events.append)
    published = [event.candidate for event in events if isinstance(event, Published)]
    assert published[0].answer is None and result.details["end"] == "budget"
    best = max(judgement(problem, text) for text in unexpanded(result))
    assert judgement(problem, published[0].trajectory.text) == best
    assert result.usage.calls + result.usage.verifier_calls <= calls


async def test_without_budget_states_or_answers_there_is_no_result(problem):
    backend = SimulatedBackend(lambda p, node, seed: Step("no idea", 3))
    result = await solved(problem, backend, AStar(k=2))
    assert result.answer is None and result.status == "done"
    assert result.details == {"end": "empty", "popped": [1], "frontier": []}


async def test_a_score_that_is_no_probability_is_refused(world, problem):
    class Rewards(LengthVerifier):
        async def score(self, problem, nodes, ctx):
            return [Score(3.0, "reward") for _ in nodes]

    with pytest.raises(VerifierError, match=r"unbounded reward.*Or use beam_search"):
        await solved(problem, world.backend(), AStar(), verifier=Rewards())


@pytest.mark.parametrize("name", ["k", "pops", "frontier", "max_expansions"])
def test_numbers_below_one_are_refused(name):
    with pytest.raises(ConfigError, match=rf"strategy\.{name} is 0"):
        AStar(**{name: 0})


def test_an_unknown_cost_is_refused():
    with pytest.raises(ConfigError, match=r"strategy\.cost is 'free'; .* consistent, drops, none"):
        AStar(cost="free")
