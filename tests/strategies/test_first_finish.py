"""First-finish search: who wins, what it costs, and that nothing but length decides."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

import tts
from tests.strategies.lanes import PROBLEM, Lane, Lengths, race, track
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import BackendError, ConfigError
from tts.selectors import BestScore
from tts.strategies._race import Runner
from tts.strategies.first_finish import FirstFinish
from tts.types import Chunk, Published

CAP = 10
ONE, TWO, NONE = "\\boxed{1}", "\\boxed{2}", "no idea"

answered = st.lists(st.builds(Lane, st.integers(1, 12)), min_size=1, max_size=6)
lanes = st.lists(
    st.builds(
        Lane, st.integers(1, 14), st.sampled_from([ONE, TWO, NONE]), st.sampled_from([0.5, 1, 3])
    ),
    min_size=1,
    max_size=6,
)


def places(data, lanes):
    return data.draw(st.integers(1, len(lanes)), label="k")


def numbers(result) -> list[int]:
    return [int(c.trajectory.text.split(":")[0]) for c in result.candidates]


def finishers(lanes) -> list[tuple[int, int]]:
    """Length and number of those that finish under the cap with an answer, the first first."""
    return sorted(
        (lane.length, i) for i, lane in enumerate(lanes) if lane.length <= CAP and lane.says != NONE
    )


@settings(max_examples=60, deadline=None)
@given(lanes=answered, data=st.data())
async def test_in_step_it_costs_what_the_formula_says(lanes, data):
    n, k = len(lanes), places(data, lanes)
    result, backend = await race(FirstFinish(n=n, k=k), *lanes)
    lengths = sorted(lane.length for lane in lanes)
    cost = sum(lengths[:k]) + (n - k) * lengths[k - 1]
    assert result.usage.completion_tokens == backend.generated == cost
    assert result.usage.sequential_tokens == lengths[k - 1]
    assert backend.clock.now == lengths[k - 1]
    assert backend.open_streams == 0
    assert len(result.tree) == n


@settings(max_examples=100, deadline=None)
@given(lanes=lanes, data=st.data())
async def test_the_shortest_win_in_whatever_order_they_arrive(lanes, data):
    k = places(data, lanes)
    result, backend = await race(FirstFinish(n=len(lanes), k=k), *lanes, max_tokens=CAP)
    first = finishers(lanes)[:k]
    assert backend.generated == result.usage.completion_tokens
    if len(first) < k:  # all had to be waited for
        longest = max(min(lane.length, CAP) for lane in lanes)
        assert numbers(result) == list(range(len(lanes)))
        assert result.usage.completion_tokens == sum(min(lane.length, CAP) for lane in lanes)
    else:
        longest = first[-1][0]
        assert numbers(result) == sorted(number for _, number in first)
    assert result.usage.sequential_tokens == longest
    assert (result.best is None) == (not first)
    if first:
        votes = [lanes[number].says for _, number in first]
        assert votes.count(f"\\boxed{{{result.answer}}}") == max(map(votes.count, votes))


@settings(max_examples=40, deadline=None)
@given(lanes=lanes, data=st.data())
async def test_what_arrived_first_can_be_replayed_at_other_speeds(lanes, data):
    k = places(data, lanes)
    strategy = FirstFinish(n=len(lanes), k=k, order="arrival")
    then, _ = await race(strategy, *lanes, max_tokens=CAP)
    speeds = st.sampled_from([0.3, 1, 4])
    other = [replace(lane, seconds=data.draw(speeds)) for lane in lanes]
    again, _ = await race(strategy.replaying([then]), *other, max_tokens=CAP)
    assert sorted(then.details["arrived"]) == sorted(again.details["arrived"])
    assert (numbers(again), again.answer) == (numbers(then), then.answer)


async def test_by_arrival_the_fastest_wins_and_by_tokens_the_shortest():
    lanes = [Lane(10, ONE, seconds=1), Lane(5, TWO, seconds=7)]
    result, backend = await race(FirstFinish(n=2, order="arrival"), *lanes)
    assert (result.answer, result.details) == ("1", {"arrived": [0]})
    assert result.usage.completion_tokens == backend.generated == 10 + 1
    assert result.usage.sequential_tokens == backend.clock.now == 10
    result, backend = await race(FirstFinish(n=2), *lanes)
    assert (result.answer, result.details) == ("2", {})
    assert result.usage.completion_tokens == backend.generated == 10 + 5


async def test_what_is_left_is_aborted_and_stays_in_the_tree():
    result, _ = await race(FirstFinish(n=3), Lane(9), Lane(4, TWO), Lane(7))
    assert [(leaf.finish, leaf.clock) for leaf in result.tree] == [
        ("stop", 4), ("abort", 4), ("abort", 4),
    ]  # fmt: skip
    assert result.status == "done"


async def test_one_that_is_being_left_is_not_disturbed():
    class SlowToLeave(SimulatedBackend):
        @asynccontextmanager
        async def open(self, request):
            async with super().open(request) as stream:
                yield stream
                await self.clock.sleep(3)

    # The first is home at 5.4 seconds, the third at 7.5, and the second is left from 6 to 9.
    quick = track(Lane(6, seconds=0.4), Lane(20), Lane(5, seconds=0.9))
    backend = SlowToLeave(quick.simulate, clock=quick.clock)
    result = await tts.solve(PROBLEM, strategy=FirstFinish(n=3), backend=backend)
    assert numbers(result) == [2]
    assert sorted(leaf.clock for leaf in result.tree) == [5, 6, 6]
    assert result.usage.completion_tokens == backend.generated == 5 + 6 + 6


async def test_the_first_k_vote():
    lanes = [Lane(3, ONE), Lane(4, TWO), Lane(5, TWO), Lane(6, ONE), Lane(7, ONE)]
    answers = [(await race(FirstFinish(n=5, k=k), *lanes))[0].answer for k in (1, 3, 5)]
    assert answers == ["1", "2", "1"]


async def test_a_truncated_answer_never_counts_though_it_can_be_read():
    result, _ = await race(FirstFinish(n=2), Lane(50), Lane(9, TWO), max_tokens=9)
    assert result.answer == "2"
    result, _ = await race(FirstFinish(n=2), Lane(50), Lane(60), max_tokens=9)
    assert [c.trajectory.finish for c in result.candidates] == ["length", "length"]
    assert all(c.answer for c in result.candidates)
    assert result.best is None
    assert result.usage.sequential_tokens == 9


async def test_one_without_an_answer_is_passed_over():
    result, _ = await race(FirstFinish(n=3), Lane(2, NONE), Lane(6, TWO), Lane(4, ONE))
    assert (result.answer, numbers(result)) == ("1", [2])
    assert result.usage.completion_tokens == 2 + 4 + 4


async def test_a_budget_that_runs_out_ends_with_what_has_finished():
    lanes = [Lane(10, ONE), Lane(30, TWO), Lane(5, TWO)]
    options = {"max_tokens": 40, "budget": tts.Budget(completion_tokens=25)}
    result, _ = await race(FirstFinish(n=3, k=2), *lanes, **options)
    assert (result.answer, result.status, result.limit) == ("1", "exhausted", "completion_tokens")
    assert [c.trajectory.finish for c in result.candidates] == ["stop", "length"]
    assert result.usage.completion_tokens == 25
    result, _ = await race(FirstFinish(n=3), *lanes, **options)
    assert (result.answer, result.usage.completion_tokens) == ("2", 10 + 10 + 5)


async def test_the_best_so_far_is_published():
    events = []
    await race(FirstFinish(n=2), Lane(9, ONE, 0.1), Lane(5, TWO), on_event=events.append)
    published = [e.candidate.answer.text for e in events if isinstance(e, Published)]
    assert published == ["1", "2"]


async def test_a_fault_ends_the_race_and_leaves_no_stream_open():
    def simulate(problem, node, seed):
        if "....." in node.text:
            raise BackendError("out of order")
        return Step(".", 1, False)

    backend = SimulatedBackend(simulate)
    with pytest.raises(BackendError, match="out of order"):
        await tts.solve(PROBLEM, strategy=FirstFinish(), backend=backend)
    assert backend.open_streams == 0


async def test_with_a_marker_only_the_thinking_part_is_measured():
    lanes = [Lane(20, ONE, mark=3), Lane(8, TWO, mark=5), Lane(30, TWO, mark=4), Lane(40, TWO)]
    result, _ = await race(FirstFinish(n=4), *lanes)
    assert (result.answer, result.usage.completion_tokens) == ("2", 4 * 8)
    result, _ = await race(FirstFinish(n=4, thinking_end="</think>"), *lanes)
    assert (result.answer, result.usage.sequential_tokens) == ("1", 20)
    # The second ends first, and the fourth can come before it no more; both that are left still
    # lack the token of that instant.
    assert result.usage.completion_tokens == 20 + 8 + 19 + 7


@given(before=st.text("ab</", max_size=5), cuts=st.sets(st.integers(1, 15)))
def test_a_marker_is_found_across_chunks(before, cuts):
    text, marker = before + "</b>aaaa", "</b>"
    runner = Runner(7)
    edges = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    for tokens, (start, stop) in enumerate(pairwise(edges), 1):
        runner.see(Chunk(text[start:stop]), tokens, marker)
        if marker in text[:stop]:
            assert runner.rank == (next(i for i, e in enumerate(edges) if marker in text[:e]), 7)
        else:
            assert runner.rank == (tokens + 1, 0)


async def test_all_of_all_is_the_majority():
    for seed in range(5):
        options = {"backend": tts.testing.World().backend(), "seed": seed}
        vote = await tts.solve(PROBLEM, strategy=tts.SelfConsistency(n=8), **options)
        every = await tts.solve(PROBLEM, strategy=FirstFinish(n=8, k=8), **options)
        assert every.answer == vote.answer
        assert every.best.trajectory.text == vote.best.trajectory.text
        assert every.usage.completion_tokens == vote.usage.completion_tokens
        assert every.usage.sequential_tokens == vote.usage.sequential_tokens


SHORT_IS_RIGHT = Lengths(0.7, (80, 20), (120, 20))
WRONG_VARIES = Lengths(0.7, (80, 20), (120, 50))
LONG_IS_RIGHT = Lengths(0.3, (120, 30), (80, 30))
VECTORS = [
    (SHORT_IS_RIGHT, [0.70, 0.88, 0.96, 0.99, 0.996]),
    (WRONG_VARIES, [0.70, 0.81, 0.82, 0.77, 0.68]),
    (LONG_IS_RIGHT, [0.30, 0.16, 0.08, 0.05, 0.03]),
]


@pytest.mark.parametrize("model,expected", VECTORS)
@pytest.mark.parametrize("power", range(5))
async def test_accuracy_is_that_of_the_shortest_of_normal_lengths(model, expected, power):
    n, problems = 2**power, 1000 >> power // 2
    exact = model.accuracy(n)
    assert exact == pytest.approx(expected[power], abs=0.006)
    low, high = binom.interval(0.999, problems, exact)
    assert low <= await model.found(FirstFinish(n=n), problems) <= high


@pytest.mark.parametrize(
    "fields,message",
    [
        ({"n": 0}, r"strategy\.n is 0; it must be at least 1"),
        ({"k": 0}, r"strategy\.k is 0; it must be at least 1"),
        ({"n": 4, "k": 5}, r"strategy\.k is 5, and strategy\.n is 4"),
        ({"selector": BestScore()}, r"strategy\.selector is BestScore, which compares scores"),
        ({"order": "luck"}, r"strategy\.order is 'luck'; it must be 'tokens' or 'arrival'"),
    ],
)
def test_a_race_that_is_none_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        FirstFinish(**fields)


@pytest.mark.engine
async def test_the_real_engine_stops_decoding_what_is_left(vllm_backend):
    options = {"backend": vllm_backend, "max_tokens": 400, "seed": 1}
    question = "12+7*3-5+40-6*2+31-8="
    whole = await tts.solve(question, strategy=tts.SelfConsistency(n=8), **options)
    before = vllm_backend.stats.generation_tokens
    first = await tts.solve(question, strategy=FirstFinish(n=8), **options)
    assert vllm_backend.stats.generation_tokens - before == first.usage.completion_tokens
    assert first.usage.completion_tokens < whole.usage.completion_tokens
    assert first.usage.sequential_tokens < whole.usage.sequential_tokens
    lengths = {leaf.key: leaf.clock for leaf in whole.tree}
    left = [leaf for leaf in first.tree if leaf.finish == "abort"]
    assert left
    assert all(leaf.clock < lengths[leaf.key] for leaf in left)
    assert first.best.trajectory.clock == min(lengths.values())
