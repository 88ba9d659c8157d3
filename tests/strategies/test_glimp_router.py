"""GlimpRouter: entropies, whose steps they choose, what a glimpse costs, who answers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tts
from tests.strategies.pair import LARGE, PROBLEM, Writer, steps
from tts.errors import CapabilityMissing, ConfigError
from tts.solve import Setup
from tts.strategies import GlimpRouter
from tts.strategies.glimp_router import entropy
from tts.types import Capability

SMALL_STEPS, LARGE_STEPS = steps("s", 7, 9, 5), steps("l", 12, 20, 8)
D, L = len("".join(SMALL_STEPS)), len("".join(LARGE_STEPS))
UNSURE = [1, 4, 2, 1]  # equally likely tokens at each step: entropies 0, ln 4, ln 2, 0


async def solve(strategy, small=SMALL_STEPS, large=LARGE_STEPS, unsure=UNSURE, **options):
    return await tts.solve(
        PROBLEM,
        strategy=strategy,
        backend=Writer(list(large), info=LARGE).backend(),
        draft=Writer(list(small), list(unsure)).backend(),
        **{"max_tokens": 1000, **options},
    )


# --- the entropy --------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_of_k_equal_tokens_it_is_the_logarithm_of_k_whatever_mass_they_have(k):
    for mass in (1.0, 0.3):
        logprobs = dict.fromkeys(range(k), math.log(mass / k))
        assert entropy(logprobs) == pytest.approx(math.log(k), abs=1e-12)


def test_of_two_tokens_it_is_the_closed_form():
    p = 0.8
    logprobs = {3: math.log(0.5 * p), 9: math.log(0.5 * (1 - p))}
    assert entropy(logprobs) == pytest.approx(-p * math.log(p) - (1 - p) * math.log(1 - p))


def test_of_nothing_and_of_the_impossible_it_is_0():
    assert entropy({}) == 0
    assert entropy({1: 0.0, 2: -math.inf}) == 0


@given(st.lists(st.floats(-30, 0), min_size=1, max_size=20))
def test_it_lies_between_0_and_the_logarithm_of_their_number(values):
    assert -1e-12 <= entropy(dict(enumerate(values))) <= math.log(len(values)) + 1e-9


# --- routing ------------------------------------------------------------------------------------


async def test_where_nothing_is_routed_it_is_the_draft_model_alone_and_no_token_is_drawn_twice():
    result = await solve(GlimpRouter(threshold=math.inf))
    assert result.best.trajectory.text == "".join(SMALL_STEPS)
    assert result.usage.completion_tokens == result.usage.draft_tokens == D
    assert result.usage.sequential_tokens == D
    assert result.usage.calls == 2 * 4  # a glimpse and the rest
    assert result.details["large_share"] == 0


async def test_a_threshold_of_0_is_the_large_model_alone_and_the_glimpses_are_paid():
    result = await solve(GlimpRouter(threshold=0))
    alone = await solve(GlimpRouter(first_n=10**6))
    assert result.best.trajectory.text == alone.best.trajectory.text == "".join(LARGE_STEPS)
    assert result.usage.draft_tokens == 4 and alone.usage.draft_tokens == 0
    assert result.usage.completion_tokens == L + 4
    assert result.usage.sequential_tokens == L + 4
    assert result.details["large_share"] == 1


async def test_steps_whose_first_token_is_unsure_are_the_large_ones():
    result = await solve(GlimpRouter(threshold=math.log(2) - 1e-9))
    written = [SMALL_STEPS[0], LARGE_STEPS[1], LARGE_STEPS[2], SMALL_STEPS[3]]
    assert result.best.trajectory.text == "".join(written)
    details = result.details
    assert details["entropies"] == pytest.approx([0, math.log(4), math.log(2), 0], abs=1e-12)
    assert details["authors"] == ["draft", "large", "large", "draft"]
    assert details["accepted"] == 2
    assert details["mean_entropies"] == pytest.approx(math.log(8) / 4)
    assert result.usage.draft_tokens == len(SMALL_STEPS[0]) + 1 + 1 + len(SMALL_STEPS[3])


async def test_only_the_likeliest_tokens_count():
    result = await solve(GlimpRouter(threshold=1.2, top=3), unsure=[9, 9, 9, 9])
    assert result.details["entropies"] == pytest.approx([math.log(3)] * 4)
    assert result.details["accepted"] == 4


async def test_a_step_of_one_token_is_its_own_glimpse():
    one = ["a\n\n", "\n\n", "\\boxed{1}"]
    backend = Writer(one, [1, 1, 1]).backend()
    result = await tts.solve(
        PROBLEM, strategy=GlimpRouter(threshold=math.inf), backend=backend, draft=backend,
        max_tokens=4,
    )  # fmt: skip
    assert result.best.trajectory.text == "a\n\n\n"
    assert result.usage.completion_tokens == 4


# --- the answer behind the thinking part --------------------------------------------------------


async def test_the_large_model_writes_what_comes_after_thinking():
    small = ["think0.\n\n", "think1.</think>\n\n", "s \\boxed{s}"]
    large = ["", "", "l \\boxed{l}"]
    strategy = GlimpRouter(threshold=math.inf, thinking_end="</think>")
    result = await solve(strategy, small, large, [1, 1, 1])
    assert result.best.trajectory.text == "".join([*small[:2], large[2]])
    assert result.answer == "l"
    assert result.details["authors"] == ["draft", "draft", "large"]


async def test_thinking_that_goes_in_circles_is_closed_and_answered():
    small = ["round\n\n"] * 5 + ["\\boxed{s}"]
    large = ["", "", "l \\boxed{l}"]
    strategy = GlimpRouter(threshold=math.inf, thinking_end="</think>")
    result = await solve(strategy, small, large, [1] * 6)
    text = "round\n\n" * 2 + "</think>"
    assert result.best.trajectory.text.startswith(text)
    (forced,) = [s for s in result.best.trajectory.segments() if s.origin == "forced"]
    assert forced.text == "</think>"
    assert result.details["authors"][-1] == "large"


async def test_a_cap_leaves_room_for_the_answer():
    small = ["".join(steps("s", 40)[:1]), "\\boxed{s}"]
    strategy = GlimpRouter(threshold=math.inf, thinking_end="</think>", answer_tokens=12)
    large = ["\\boxed{l}", "\\boxed{l}"]
    result = await solve(strategy, small, large, [1, 1], max_tokens=30)
    thinking = result.best.trajectory.text.partition("</think>")[0]
    assert len(thinking) == 18


# --- refusals -----------------------------------------------------------------------------------


def test_what_makes_no_sense_is_refused():
    for field, value, word in (
        ("threshold", -0.1, "at least 0 nats"),
        ("threshold", math.nan, "not a number"),
        ("top", 1, "strategy.top is 1"),
        ("first_n", -1, "strategy.first_n is -1"),
        ("answer_tokens", 5, "without a thinking part"),
    ):
        with pytest.raises(ConfigError, match=word):
            GlimpRouter(**{field: value})


def test_a_draft_model_without_log_probabilities_is_refused():
    backend = Writer(list(LARGE_STEPS)).backend()
    mute = Writer([]).backend(capabilities=frozenset({Capability.CONTINUATION}))
    with pytest.raises(CapabilityMissing, match="can give log-probabilities"):
        Setup(GlimpRouter(), backend, draft=mute)
