"""Rules: what they say by hand, what they say of unfinished answers, and the contract."""

from __future__ import annotations

import pytest

import tts
from tests.verifiers.answers import STEPS, SUM, answer
from tts.errors import CapabilityMissing, ConfigError
from tts.testing import FreeContext, World, check_verifier
from tts.types import Segment, Trajectory
from tts.verifiers import Arithmetic, HasAnswer, Pattern

TEXTS = ["3+4=7, so \\boxed{7}", "3+4=8 and 1+1=2, so \\boxed{8}", "no idea", ""]


def texts(*texts, finish="stop"):
    root = Trajectory.root()
    return [
        root.extend(Segment(text), child=i, clock=1, finish=finish) for i, text in enumerate(texts)
    ]


async def scores(verifier, *trajectories):
    found = await verifier.score(SUM, trajectories, FreeContext(World().backend()))
    assert {score.scale for score in found} <= {"probability"}
    return [score.raw for score in found]


@pytest.mark.parametrize(
    "verifier",
    [Pattern(must=("boxed",)), Pattern(must_not=("idea",)), Arithmetic(), Arithmetic(none=0.5),
     HasAnswer()],
)  # fmt: skip
async def test_they_keep_the_contract(verifier):
    await check_verifier(verifier, SUM, [*texts(*TEXTS), answer(*STEPS)])


async def test_a_pattern_wants_all_it_must_hold_and_nothing_else():
    rule = Pattern(must=(r"\\boxed\{", "(?i)SO"), must_not=(r"8\}",))
    assert await scores(rule, *texts(*TEXTS)) == [1, 0, 0, 0]
    assert await scores(Pattern(must_not=("8",)), *texts(*TEXTS)) == [1, 0, 1, 1]


async def test_only_what_must_not_occur_can_be_told_of_a_beginning():
    assert Pattern(must_not=("x",)).partial and not Pattern(must=("x",)).partial
    strategy, backend = tts.BeamSearch(), World().backend()
    with pytest.raises(CapabilityMissing, match="whole ones only"):
        await tts.solve("?", strategy=strategy, backend=backend, verifier=Pattern(must=("x",)))


@pytest.mark.parametrize(
    ("settings", "field"),
    [({}, "verifier.must and"), ({"must": ("(",)}, "verifier.must "),
     ({"must_not": ("a", "[")}, "verifier.must_not")],
)  # fmt: skip
def test_patterns_that_are_none_are_refused(settings, field):
    with pytest.raises(ConfigError, match=field):
        Pattern(**settings)


async def test_arithmetic_is_the_share_of_true_equations():
    assert await scores(Arithmetic(), *texts(*TEXTS)) == [1, 0.5, 1, 1]
    assert await scores(Arithmetic(none=0.25), *texts(*TEXTS)) == [1, 0.5, 0.25, 0.25]
    assert await scores(Arithmetic(), *texts("1/3 = 0.33")) == [1]
    assert await scores(Arithmetic(rounded=False), *texts("1/3 = 0.33")) == [0]


async def test_a_side_that_may_go_on_is_not_held_against_a_beginning():
    whole, begun = texts("3+4=1")[0], texts("3+4=1", finish="length")[0]
    assert await scores(Arithmetic(), whole, begun) == [0, 1]
    assert await scores(Arithmetic(), answer(*STEPS)) == [1]


def test_what_nothing_is_worth_is_a_probability():
    with pytest.raises(ConfigError, match=r"verifier\.none"):
        Arithmetic(none=1.5)


async def test_an_answer_is_what_the_task_calls_one():
    assert await scores(HasAnswer(), *texts(*TEXTS)) == [1, 1, 0, 0]
    assert not HasAnswer().partial


async def test_best_of_n_drops_the_sample_with_a_slip():
    """Every other sample says 3+4=8; arithmetic finds the ones that do not."""

    def simulate(problem, node, seed):
        result = 7 if seed % 2 else 8
        return tts.backends.simulated.Step(f"3+4={result}\n\n\\boxed{{{result}}}", 9)

    backend = tts.backends.simulated.SimulatedBackend(simulate)
    result = await tts.solve(
        "3+4=?", strategy=tts.BestOfN(n=8), backend=backend, verifier=Arithmetic()
    )
    assert result.answer == "7" and {c.answer.text for c in result.candidates} == {"7", "8"}
