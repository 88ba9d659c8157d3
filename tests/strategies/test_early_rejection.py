"""Early rejection: what is judged, when a step is whole, and what is refused."""

from __future__ import annotations

from collections import Counter

import pytest

import tts
from tests.strategies.stories import ByHeads, Story
from tts.backends.simulated import SimulatedBackend, Step
from tts.errors import ConfigError
from tts.strategies import Stepper
from tts.strategies.early_rejection import EarlyRejection
from tts.testing import LengthVerifier
from tts.types import Problem

PROBLEM = Problem("p", prompt="What is it?")


async def search(strategy, story, verifier=None, **options):
    return await tts.solve(
        PROBLEM,
        strategy=strategy,
        backend=story.backend,
        verifier=verifier or ByHeads(),
        **{"max_tokens": 100_000, **options},
    )


async def test_nothing_is_judged_twice_but_answers_that_were_judged_cut():
    verifier = ByHeads()
    await search(EarlyRejection(8, 2, tau=25), Story([30, 20, 40]), verifier)
    assert len(set(verifier.judged)) == len(verifier.judged)
    sizes = Counter(len(text) for text in verifier.judged)
    # Cut at 25 of 30; whole, for 20 is below tau; cut at 25 of 40, and the four answers whole.
    assert sizes == {25: 8, 50: 8, 75: 8, 90: 4}


async def test_auto_goes_by_the_median_step_of_survivors():
    result = await search(EarlyRejection(4, 2, "auto"), Story([50, 100, 100, 40]))
    assert result.details["tau"] == [None, 32, 48, 64]
    assert result.details["cut"] == [0, 4, 4, 0]
    half = await search(EarlyRejection(4, 2, "auto", correlation=0.5), Story([50, 20, 20]))
    assert half.details["tau"] == [None, 13, 9]  # of 50 and 50, and then of 50, 50, 20 and 20


async def test_steps_are_counted_not_their_pieces():
    three = await search(EarlyRejection(4, 2, 10, stepper=Stepper(max_steps=3)), Story([30] * 3))
    assert three.answer is not None
    assert three.best.trajectory.depth == 6
    two = await search(EarlyRejection(4, 2, 10, stepper=Stepper(max_steps=2)), Story([30] * 3))
    assert two.answer is None and not two.candidates


async def test_steps_of_so_many_tokens_are_cut_and_completed_to_just_those():
    stepper = Stepper(delimiter="", max_tokens=20)
    result = await search(EarlyRejection(4, 2, 8, stepper=stepper), Story([70]))
    assert result.answer is not None
    path = [len(segment.text) for segment in result.best.trajectory.segments()]
    assert path == [8, 12, 8, 12, 8, 12, 8, 2]


async def test_what_was_cut_at_the_longest_answer_does_not_survive():
    result = await search(EarlyRejection(4, 2, 20), Story([30, 30]), max_tokens=45)
    assert result.answer is None and not result.candidates
    assert result.usage.completion_tokens == 4 * 20 + 2 * 10 + 4 * 15


async def test_batches_cap_what_is_under_way():
    story = Story([30, 30], seconds=1.0)
    strategy = EarlyRejection(12, 2, 10, first_batch=5, second_batch=2)
    capped = await search(strategy, story)
    assert max(story.busy[True]) == 5
    assert max(story.busy[False]) == 2
    free = await search(EarlyRejection(12, 2, 10), Story([30, 30]))
    assert [c.trajectory.key for c in capped.candidates] == [
        c.trajectory.key for c in free.candidates
    ]


def running_past(steps):
    """An engine that looks for a delimiter in what is new alone, and writes these steps."""

    def simulate(problem, node, seed):
        text = "".join(steps)[len(node.text) :]
        here, found, _ = text.partition("\n\n")
        return Step(here + found, len(here + found), not found)

    return SimulatedBackend(simulate)


@pytest.mark.parametrize("tau", [8, 9, 10])
async def test_a_delimiter_across_the_cut_ends_the_step(problem, tau):
    steps = ["abcdefgh\n\n", "one\ntwo\n\n", "\\boxed{4}"]
    backend = running_past(steps)
    result = await tts.solve(
        problem,
        strategy=EarlyRejection(4, 2, tau, stepper=Stepper(max_steps=3)),
        backend=backend,
        verifier=LengthVerifier(),
    )
    assert result.best.trajectory.text == "".join(steps)
    assert len(result.details["tau"]) == 3


async def test_a_line_break_at_the_cut_ends_nothing(problem):
    steps = ["one\ntwo\n\n", "\\boxed{4}"]
    result = await tts.solve(
        problem,
        strategy=EarlyRejection(2, 2, 4, stepper=Stepper(max_steps=2)),
        backend=running_past(steps),
        verifier=LengthVerifier(),
    )
    pieces = [segment.text for segment in result.best.trajectory.segments()]
    assert pieces == ["one\n", "t", "wo\n\n", "\\box", "ed{4}"]


async def test_an_answer_stated_before_the_cut_ends_with_its_step(problem):
    steps = ["\\boxed{7} it is, and so on\n\n", "more\n\n"]
    result = await tts.solve(
        problem,
        strategy=EarlyRejection(4, 2, 12),
        backend=running_past(steps),
        verifier=LengthVerifier(),
    )
    assert result.answer == "7"
    assert result.best.trajectory.text == steps[0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"width": 0}, r"strategy\.width is 0"),
        ({"n": 3, "width": 4}, r"strategy\.n is 3; it must be at least 4"),
        ({"tau": 0}, r"strategy\.tau is 0"),
        ({"tau": "often"}, r"strategy\.tau is 'often'"),
        ({"correlation": 0}, r"strategy\.correlation is 0"),
        ({"correlation": 1.5}, r"strategy\.correlation is 1\.5"),
        ({"first_batch": 0}, r"strategy\.first_batch is 0"),
        ({"second_batch": 0}, r"strategy\.second_batch is 0"),
        (
            {"tau": 32, "stepper": Stepper(max_tokens=32)},
            r"strategy\.tau is 32, and no step is longer than stepper\.max_tokens, which is 32",
        ),
    ],
)
def test_what_makes_no_rejection_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        EarlyRejection(**wrong)
