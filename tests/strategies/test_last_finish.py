"""Last-finish search: the longest answers win, at the cost of all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

import tts
from tests.strategies.lanes import PROBLEM, Lane, Lengths, race
from tts.errors import ConfigError
from tts.strategies.last_finish import LastFinish

CAP = 10
ONE, TWO, NONE = "\\boxed{1}", "\\boxed{2}", "no idea"

lanes = st.lists(
    st.builds(
        Lane, st.integers(1, 14), st.sampled_from([ONE, TWO, NONE]), st.sampled_from([0.5, 1, 3])
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(lanes=lanes, data=st.data())
async def test_the_longest_that_finish_win_and_all_are_paid(lanes, data):
    k = data.draw(st.integers(1, len(lanes)))
    result, backend = await race(LastFinish(n=len(lanes), k=k), *lanes, max_tokens=CAP)
    paid = [min(lane.length, CAP) for lane in lanes]
    assert result.usage.completion_tokens == backend.generated == sum(paid)
    assert result.usage.sequential_tokens == max(paid)
    assert len(result.candidates) == len(lanes)
    finished = [lane for lane in lanes if lane.length <= CAP and lane.says != NONE]
    last = sorted(finished, key=lambda lane: -lane.length)[:k]  # stable: ties by number
    assert (result.best is None) == (not last)
    if last:
        votes = [lane.says for lane in last]
        assert votes.count(f"\\boxed{{{result.answer}}}") == max(map(votes.count, votes))


async def test_the_last_k_vote():
    lanes = [Lane(3, ONE), Lane(4, ONE), Lane(5, TWO), Lane(6, TWO), Lane(7, ONE), Lane(2, ONE)]
    answers = [(await race(LastFinish(n=6, k=k), *lanes))[0].answer for k in (1, 3, 6)]
    assert answers == ["1", "2", "1"]


async def test_of_equally_long_answers_the_lower_number_wins():
    result, _ = await race(LastFinish(n=3), Lane(4, ONE), Lane(5, TWO), Lane(5, ONE))
    assert result.answer == "2"


async def test_with_a_marker_only_the_thinking_part_is_measured():
    lanes = [Lane(20, ONE, mark=3), Lane(8, TWO, mark=5)]
    assert (await race(LastFinish(n=2), *lanes))[0].answer == "1"
    assert (await race(LastFinish(n=2, thinking_end="</think>"), *lanes))[0].answer == "2"


async def test_a_budget_that_runs_out_ends_with_what_has_finished():
    budget = tts.Budget(completion_tokens=25)
    lanes = [Lane(10, ONE), Lane(30, TWO), Lane(5, TWO)]
    result, _ = await race(LastFinish(n=3), *lanes, max_tokens=40, budget=budget)
    assert (result.answer, result.status) == ("1", "exhausted")
    assert result.usage.completion_tokens == 25


async def test_all_of_all_is_the_majority():
    for seed in range(5):
        options = {"backend": tts.testing.World().backend(), "seed": seed}
        vote = await tts.solve(PROBLEM, strategy=tts.SelfConsistency(n=8), **options)
        every = await tts.solve(PROBLEM, strategy=LastFinish(n=8, k=8), **options)
        assert every.answer == vote.answer
        assert every.best.trajectory.text == vote.best.trajectory.text
        assert every.usage.completion_tokens == vote.usage.completion_tokens


@pytest.mark.parametrize("power", range(5))
async def test_accuracy_is_that_of_the_longest_of_normal_lengths(power):
    model = Lengths(0.3, (120, 30), (80, 30))
    n, problems = 2**power, 1000 >> power // 2
    exact = model.accuracy(n, longest=True)
    assert exact == pytest.approx([0.30, 0.44, 0.58, 0.71, 0.80][power], abs=0.006)
    low, high = binom.interval(0.999, problems, exact)
    assert low <= await model.found(LastFinish(n=n), problems) <= high


@pytest.mark.parametrize(
    "fields,message",
    [
        ({"n": 0}, r"strategy\.n is 0; it must be at least 1"),
        ({"k": 0}, r"strategy\.k is 0; it must be at least 1"),
        ({"n": 4, "k": 5}, r"strategy\.k is 5, and strategy\.n is 4"),
    ],
)
def test_a_race_that_is_none_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        LastFinish(**fields)
