"""Beam search: the same beam as by brute force, its ends, its clock, and what stops it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tts
from tests.strategies.random_trees import ANY_LENGTH, ROOT, Drawn, RandomTree
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import ConfigError
from tts.strategies import BeamSearch, Stepper
from tts.testing import LengthVerifier
from tts.types import ModelInfo, Problem, Score

PROBLEM = Problem("p", prompt="What is it?")


async def search(strategy, tree, **options):
    options = {"max_tokens": 1000, **options}
    return await tts.solve(
        PROBLEM, strategy=strategy, backend=tree.backend(), verifier=tree.verifier(), **options
    )


def brute_force(drawn, score, n, width, max_steps):
    """The texts that a beam search finds, in order, and the sizes of its beams."""
    level, held, found, sizes = [drawn.take(ROOT, i) for i in range(n)], [], [], []
    while level:
        found += [node.text for node in level if node.finish == "stop"]
        different = []
        for node in held + level:
            if all((node.text, node.finish) != (d.text, d.finish) for d in different):
                different.append(node)
        places = sorted(range(len(different)), key=lambda i: (-score(different[i].text), i))
        beam = [different[i] for i in places[: n // width]]
        sizes.append(len(beam))
        held = [node for node in beam if node.finish == "stop"]
        ends = [node for node in beam if node.finish != "stop"]
        if len(sizes) == max_steps:
            break
        level = [drawn.take(end, i * width + j) for i, end in enumerate(ends) for j in range(width)]
    return found, sizes


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 10**6),
    kinds=st.sampled_from([2, 4, 1 << 30]),
    levels=st.sampled_from([2, 5, 1 << 30]),
    width=st.integers(1, 4),
    beams=st.integers(1, 4),
    over=st.integers(0, 3),
)
async def test_it_is_the_beam_search_of_brute_force(seed, kinds, levels, width, beams, over):
    n = width * beams + min(over, width - 1)
    tree = RandomTree(seed, kinds, levels)
    result = await search(BeamSearch(n, width, Stepper(max_steps=6, last="")), tree)
    drawn = Drawn(result)
    found, sizes = brute_force(drawn, tree.score, n, width, 6)
    assert not drawn  # nothing else was drawn
    assert [c.trajectory.text for c in result.candidates] == found
    assert result.details["beams"] == sizes
    if found:
        assert result.best.score.raw == max(tree.score(text) for text in found)
    else:
        assert result.answer is None


async def test_of_width_one_it_is_best_of_n():
    tree = RandomTree(seed=3)
    result = await search(BeamSearch(12, 1, ANY_LENGTH), tree)
    ends = [node for node in result.tree if node.finish == "stop"]
    assert len(result.candidates) == len(ends) == 12
    assert result.best.score.raw == max(tree.score(node.text) for node in ends)


async def test_as_wide_as_its_candidates_it_is_greedy_by_step():
    tree = RandomTree(seed=5)
    result = await search(BeamSearch(6, 6, ANY_LENGTH), tree)
    drawn, node = Drawn(result), ROOT
    while node.finish != "stop":
        node = max(
            (drawn.take(node, i) for i in range(6)), key=lambda child: tree.score(child.text)
        )
    assert not drawn
    assert node.text in [c.trajectory.text for c in result.candidates]


def scripted(texts):
    """A world that writes what `texts` says of a draw's number at each depth, and its scores."""

    def simulate(problem, node, seed):
        parts = texts[node.depth]
        return parts[numbers.setdefault((node.key, seed), len(numbers)) % len(parts)]

    numbers = {}
    return SimulatedBackend(simulate)


class ByName(LengthVerifier):
    """The score of a text is the last number in it, in hundredths."""

    async def score(self, problem, trajectories, ctx):
        digits = ["".join(c if c.isdigit() else " " for c in t.text).split() for t in trajectories]
        return [Score(int(d[-1]) / 100, "probability") for d in digits]


async def test_an_ended_answer_keeps_its_place_as_long_as_its_score_does(problem):
    levels = [
        [Step("\\boxed{60}", 3, True), Step("50\n\n", 3, False)],
        [Step("40\n\n", 3, False), Step("90\n\n", 3, False)],
        [Step("\\boxed{80}", 3, True), Step("70\n\n", 3, False)],
        [Step("\\boxed{30}", 3, True)],
    ]
    result = await tts.solve(
        problem, strategy=BeamSearch(4, 2), backend=scripted(levels), verifier=ByName()
    )
    # 60 leaves the beam when 90 comes, and stays a candidate; 80 keeps its place to the end.
    assert result.answer == "80"
    assert {c.answer.text for c in result.candidates} >= {"60", "80"}
    assert result.details["beams"][0] == 2


async def test_a_step_waits_for_the_slowest_also_if_that_one_is_pruned(problem):
    levels = [
        [Step("10\n\n", 100, False), Step("90\n\n", 5, False)],
        [Step("\\boxed{95}", 7, True), Step("\\boxed{96}", 2, True)],
    ]
    result = await tts.solve(
        problem, strategy=BeamSearch(2, 2), backend=scripted(levels), verifier=ByName()
    )
    assert result.answer == "96"
    assert result.usage.sequential_tokens == 107


async def test_what_was_cut_at_the_longest_answer_holds_no_place(problem):
    levels = [
        [Step("99 and on and on", 50, False), Step("20\n\n", 5, False)],
        [Step("\\boxed{30}", 5, True)],
    ]
    result = await tts.solve(
        problem,
        strategy=BeamSearch(2, 2),
        backend=scripted(levels),
        verifier=ByName(),
        max_tokens=20,
    )
    assert result.answer == "30"


async def test_an_answer_that_fills_the_context_is_cut_there(problem):
    backend = scripted([[Step("10\n\n", 12, False)]] * 9)
    backend.info = ModelInfo("small", context=50)
    result = await tts.solve(
        problem, strategy=BeamSearch(2, 2), backend=backend, verifier=ByName(), max_tokens=1000
    )
    assert result.status == "done" and result.answer is None
    assert max(node.depth for node in result.tree) == 4  # 10 tokens of prompt, 3 steps, a piece


async def test_an_answer_is_dropped_that_has_not_ended_after_the_last_step():
    stepper = Stepper(max_steps=3, last="")
    result = await search(BeamSearch(4, 2, stepper), RandomTree(ending=0.0))
    assert result.answer is None and not result.candidates
    assert result.usage.calls == 12


async def test_a_dry_budget_ends_with_the_best_answer_so_far():
    tree = RandomTree(seed=11, ending=0.3)
    result = await search(BeamSearch(8, 2, ANY_LENGTH), tree, budget=tts.Budget(calls=40))
    assert result.status == "exhausted" and result.limit == "calls"
    assert result.best.score.raw == max(tree.score(c.trajectory.text) for c in result.candidates)


async def test_a_dry_budget_without_an_answer_lands_the_best_beam(problem):
    def simulate(problem, node, seed):
        if node.text.endswith("\\boxed{"):
            return Step("1}", 2, True)
        return steps(problem, node, seed)

    levels = [[Step("10\n\n", 9, False), Step("80\n\n", 9, False)]]
    levels += [[Step("20 is a longer text\n\n", 9, False), Step("90\n\n", 9, False)]]
    backend = scripted(levels)
    steps, backend.simulate = backend.simulate, simulate
    result = await tts.solve(
        problem,
        strategy=BeamSearch(4, 4),
        backend=backend,
        verifier=ByName(),
        budget=tts.Budget(completion_tokens=82, landing_tokens=10),
    )
    assert result.status == "exhausted"
    assert result.answer == "1"
    assert result.best.trajectory.text == "80\n\n90\n\n\n\n\\boxed{1}"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"width": 0}, r"strategy\.width is 0"),
        ({"n": 3, "width": 4}, r"strategy\.n is 3; it must be at least 4"),
    ],
)
def test_a_beam_without_width_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        BeamSearch(**wrong)
