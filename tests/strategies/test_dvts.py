"""DVTS: greedy searches that know nothing of each other, and are chosen among at the end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tts
from tests.strategies.random_trees import ANY_LENGTH, ROOT, Drawn, RandomTree
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.errors import BackendError, ConfigError
from tts.strategies import BeamSearch
from tts.strategies.dvts import DVTS
from tts.testing import LengthVerifier, World
from tts.types import Problem

PROBLEM = Problem("p", prompt="What is it?")


async def search(strategy, tree, **options):
    return await tts.solve(
        PROBLEM,
        strategy=strategy,
        backend=tree.backend(),
        verifier=tree.verifier(),
        max_tokens=1000,
        **options,
    )


def brute_force(drawn, score, subtrees, width):
    """The texts that greedy searches find, in order, and how many steps each of them takes."""
    found, steps = [], []
    for number in range(subtrees):
        node, first, depth = ROOT, number * width, 0
        while node.finish != "stop":
            level = [drawn.take(node, first + i) for i in range(width)]
            found += [child.text for child in level if child.finish == "stop"]
            node, depth = max(level, key=lambda child: score(child.text)), depth + 1
        steps.append(depth)
    return found, steps


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    kinds=st.sampled_from([2, 1 << 30]),
    levels=st.sampled_from([3, 1 << 30]),
    width=st.integers(1, 4),
    subtrees=st.integers(1, 4),
    over=st.integers(0, 3),
)
async def test_it_is_as_many_greedy_searches(seed, kinds, levels, width, subtrees, over):
    n = width * subtrees + min(over, width - 1)
    tree = RandomTree(seed, kinds, levels, ending=0.4)
    result = await search(DVTS(n, width, ANY_LENGTH), tree)
    drawn = Drawn(result)
    found, steps = brute_force(drawn, tree.score, subtrees, width)
    assert not drawn  # nothing else was drawn
    assert [c.trajectory.text for c in result.candidates] == found
    assert result.details["steps"] == steps
    assert result.best.score.raw == max(tree.score(text) for text in found)


async def test_one_subtree_is_beam_search_with_one_beam():
    tree = RandomTree(seed=7)
    one = await search(DVTS(4, 4, ANY_LENGTH), tree)
    beam = await search(BeamSearch(4, 4, ANY_LENGTH), tree)
    assert [c.trajectory.key for c in one.candidates] == [c.trajectory.key for c in beam.candidates]
    assert one.usage.completion_tokens == beam.usage.completion_tokens
    assert one.usage.sequential_tokens == beam.usage.sequential_tokens


def slow_first_child():
    """Two subtrees of two steps; the first draw of all takes very long, the others do not."""

    def simulate(problem, node, seed):
        began.append((node.depth, clock.now))
        slow = node.depth == 0 and len(began) == 1
        text = "\\boxed{1}" if node.depth else f"{seed}\n\n"
        return Step(text, 100 if slow else 5, bool(node.depth), 100.0 if slow else 1.0)

    began, clock = [], VirtualClock()
    return SimulatedBackend(simulate, clock=clock), began, clock


async def test_a_subtree_does_not_wait_for_another(problem):
    backend, began, clock = slow_first_child()
    result = await tts.solve(
        problem, strategy=DVTS(4, 2), backend=backend, verifier=LengthVerifier()
    )
    assert [time for depth, time in began if depth] == [1.0, 1.0, 100.0, 100.0]
    assert clock.now == 101.0
    assert result.usage.sequential_tokens == 105


async def test_candidates_are_ordered_by_subtree_whichever_ends_first(problem):
    runs = [
        await tts.solve(
            problem,
            strategy=DVTS(8, 2),
            backend=World(jitter).backend(),
            verifier=LengthVerifier(),
            max_tokens=100,
        )
        for jitter in range(4)
    ]
    orders = [[c.trajectory.key for c in run.candidates] for run in runs]
    assert orders == [orders[0]] * 4
    assert len({tuple(leaf.key for leaf in run.tree) for run in runs}) > 1  # they did arrive apart


async def test_a_vote_counts_all_subtrees(problem):
    result = await tts.solve(
        problem,
        strategy=DVTS(12, 2, selector=tts.WeightedVote()),
        backend=World().backend(),
        verifier=LengthVerifier(),
        max_tokens=100,
    )
    sums = {}
    for c in result.candidates:
        sums[c.answer.key] = sums.get(c.answer.key, 0) + c.score.raw
    assert result.best.answer.key == max(sums, key=sums.get)
    assert len(result.candidates) == 12  # both siblings of the last step of each


async def test_a_dry_budget_without_an_answer_lands_the_best_of_all_subtrees():
    def simulate(problem, node, seed):
        if node.text.endswith("\\boxed{"):
            return Step("1}", 2, True)
        return Step(f"{seed}\n\n", 9, False)

    tree = RandomTree()
    result = await tts.solve(
        PROBLEM,
        strategy=DVTS(16, 2),
        backend=SimulatedBackend(simulate),
        verifier=tree.verifier(),
        budget=tts.Budget(completion_tokens=2 * 16 * 9 + 8, landing_tokens=8),
    )
    assert result.status == "exhausted" and result.answer == "1"
    ends = [node.text for node in result.tree if node.depth == 2]
    assert len(ends) == 16
    assert result.best.trajectory.parent.parent.text == max(ends, key=tree.score)


async def test_a_fault_in_one_subtree_ends_them_all(problem):
    def simulate(problem, node, seed):
        if node.depth == 2:
            raise BackendError("The cable is out.")
        return Step(f"{seed}\n\n", 3, False)

    backend = SimulatedBackend(simulate)
    with pytest.raises(BackendError, match="The cable is out"):
        await tts.solve(problem, strategy=DVTS(8, 2), backend=backend, verifier=LengthVerifier())
    assert backend.open_streams == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"width": 0}, r"strategy\.width is 0"),
        ({"n": 3, "width": 4}, r"strategy\.n is 3; it must be at least 4"),
    ],
)
def test_subtrees_without_width_are_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        DVTS(**wrong)
