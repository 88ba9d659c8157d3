"""SpecReason: whose steps stand, what that costs, when it ends, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

import tts
from tests.strategies.pair import LARGE, PROBLEM, PROMPT, Marks, Writer, cost, steps
from tts.errors import CapabilityMissing, ConfigError
from tts.solve import Setup
from tts.strategies import SpecReason, Stepper
from tts.testing import LengthVerifier
from tts.types import Capability, ModelInfo, Score, Usage

ALONE = 10**6
SMALL_STEPS, LARGE_STEPS = steps("s", 7, 9, 5), steps("l", 12, 20, 8)
D, L = len("".join(SMALL_STEPS)), len("".join(LARGE_STEPS))


def pair(small=SMALL_STEPS, large=LARGE_STEPS):
    return Writer(list(small)).backend(), Writer(list(large), info=LARGE).backend()


async def solve(strategy, marks=(9, 9, 9, 9), draft=None, backend=None, **options):
    small, large = pair()
    return await tts.solve(
        PROBLEM,
        strategy=strategy,
        backend=backend or large,
        draft=draft or small,
        verifier=Marks(marks=tuple(marks)),
        **{"max_tokens": 1000, **options},
    )


async def test_a_threshold_of_0_is_the_draft_model_alone():
    result = await solve(SpecReason(threshold=0), marks=(0, 0, 0, 0))
    assert result.best.trajectory.text == "".join(SMALL_STEPS)
    assert result.answer == "s"
    assert result.usage.completion_tokens == result.usage.draft_tokens == D
    assert result.details["large_share"] == 0
    assert result.details["steps"] == {"draft": 4, "large": 0}


async def test_a_threshold_above_9_is_the_large_model_alone_and_the_tries_are_paid():
    result = await solve(SpecReason(threshold=9.1))
    alone = await solve(SpecReason(first_n=ALONE))
    assert result.best.trajectory.text == alone.best.trajectory.text == "".join(LARGE_STEPS)
    assert [n.key for n in result.best.trajectory.nodes()] == [
        n.key for n in alone.best.trajectory.nodes()
    ]
    assert alone.usage.draft_tokens == alone.usage.verifier_calls == 0
    assert alone.usage.completion_tokens == L
    assert result.usage.verifier_calls == 4
    assert result.usage.draft_tokens == D
    assert result.usage.completion_tokens == L + D
    assert result.usage.sequential_tokens == L + D


async def test_the_cost_is_that_of_each_model_by_its_own_price():
    result = await solve(SpecReason(threshold=5), marks=(9, 3, 5, 4.9))
    written = [SMALL_STEPS[0], LARGE_STEPS[1], SMALL_STEPS[2], LARGE_STEPS[3]]
    assert result.best.trajectory.text == "".join(written)
    due, at = Usage(), PROMPT
    for number, text in enumerate(written):
        due += replace(
            cost(pair()[0].info, at, len(SMALL_STEPS[number])),
            draft_tokens=len(SMALL_STEPS[number]),
            verifier_calls=1,
        )
        if number in (1, 3):
            due += cost(LARGE, at, len(LARGE_STEPS[number]))
        at += len(text)
    assert replace(result.usage, seconds=0.0) == replace(due, flops=result.usage.flops)
    assert result.usage.flops == pytest.approx(due.flops)


async def test_it_tells_whose_steps_stand():
    result = await solve(SpecReason(threshold=5), marks=(9, 3, 5, 4.9))
    details = result.details
    assert details["authors"] == ["draft", "large", "draft", "large"]
    assert details["grades"] == pytest.approx([9, 3, 5, 4.9])
    assert (details["accepted"], details["mean_grades"]) == (2, pytest.approx(21.9 / 4))
    large = len(LARGE_STEPS[1]) + len(LARGE_STEPS[3])
    whole = len(result.best.trajectory.text)
    assert details["large_share"] == pytest.approx(large / whole)


async def test_the_first_steps_are_the_large_ones():
    result = await solve(SpecReason(threshold=0, first_n=2))
    assert result.details["authors"] == ["large", "large", "draft", "draft"]
    assert len(result.details["grades"]) == 2


async def test_unbounded_rewards_are_compared_as_they_are():
    class Rewards(LengthVerifier):
        async def score(self, problem, trajectories, ctx):
            return [Score(-3.0, "reward") for _ in trajectories]

    small, large = pair()
    for threshold, share in ((-3.0, 0.0), (-2.9, 1.0)):
        result = await tts.solve(
            PROBLEM, strategy=SpecReason(threshold=threshold), backend=large, draft=small,
            verifier=Rewards(),
        )  # fmt: skip
        assert result.details["large_share"] == share


async def test_a_step_that_says_what_the_last_one_said_ends_the_chain():
    same = ["again\n\n"] * 9 + ["\\boxed{1}"]
    result = await solve(SpecReason(threshold=0), marks=[9] * 10, draft=Writer(same).backend())
    assert result.details["steps"]["draft"] == 2
    assert result.answer is None
    assert result.best.trajectory.text == "again\n\n" * 2


async def test_it_ends_at_its_cap_and_at_its_number_of_steps():
    short = await solve(SpecReason(threshold=0), max_tokens=10)
    assert short.best.trajectory.text == "".join(SMALL_STEPS)[:10]
    assert short.answer is None
    few = await solve(SpecReason(threshold=0, stepper=Stepper(max_steps=2)))
    assert few.details["steps"]["draft"] == 2 and few.answer is None


async def test_where_the_draft_models_context_is_full_the_large_one_goes_on():
    tiny = Writer(list(SMALL_STEPS), info=ModelInfo("tiny", context=PROMPT + 10)).backend()
    result = await solve(SpecReason(threshold=0), draft=tiny)
    assert result.details["authors"][-1] == "large"
    assert result.answer == "l"


async def test_a_budget_that_runs_dry_leaves_what_stands():
    whole = await solve(SpecReason(threshold=5), marks=(9, 3, 5, 9))
    budget = tts.Budget(completion_tokens=whole.usage.completion_tokens - 1)
    result = await solve(SpecReason(threshold=5), marks=(9, 3, 5, 9), budget=budget)
    assert result.status == "exhausted" and result.answer is None
    assert whole.best.trajectory.text.startswith(result.best.trajectory.text)
    assert result.usage.completion_tokens <= budget.completion_tokens
    assert result.details["authors"]
    landing = tts.Budget(completion_tokens=60, landing_tokens=20)
    landed = await solve(SpecReason(first_n=ALONE), budget=landing)
    assert landed.answer == "9" and landed.usage.completion_tokens <= 60


async def test_what_is_missing_is_named():
    small, large = pair()
    verifier = LengthVerifier()
    with pytest.raises(CapabilityMissing, match="SpecReason needs a draft model and got none"):
        Setup(SpecReason(), large, verifier=verifier)
    with pytest.raises(CapabilityMissing, match="SpecReason needs a verifier"):
        Setup(SpecReason(), large, draft=small)
    mute = Writer([], info=LARGE).backend(capabilities=frozenset({Capability.LOGPROBS}))
    with pytest.raises(CapabilityMissing, match="can continue an answer"):
        Setup(SpecReason(), large, draft=mute, verifier=verifier)
    with pytest.raises(ConfigError, match=r"strategy\.first_n is -1"):
        SpecReason(first_n=-1)
    with pytest.raises(ConfigError, match="not a number"):
        SpecReason(threshold=float("nan"))
    with pytest.raises(ConfigError, match=r"budget\.calls is 1"):
        Setup(SpecReason(), large, draft=small, verifier=verifier, budget=tts.Budget(calls=1))
