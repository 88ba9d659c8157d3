from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.budget import Budget
from tts.errors import BudgetExhausted, ConfigError
from tts.executors._purse import Purse, check_own
from tts.types import Result, Usage


async def test_without_a_total_problems_keep_their_own_budget():
    share = await Purse(None, own=Budget(calls=3)).take()
    assert share.budget is None
    share.settle(Usage(calls=3))


def spend_all(purse, parts):
    """Problems side by side that use parts of their shares; what they used, and their budgets."""

    async def one(part):
        try:
            share = await purse.take()
        except BudgetExhausted as dry:
            return dry.limit
        await asyncio.sleep(0)
        used = Usage(completion_tokens=int(share.budget.completion_tokens * part))
        share.settle(used)
        return used.completion_tokens, share.budget.completion_tokens

    async def all_of_them():
        return await asyncio.gather(*(one(part) for part in parts))

    return asyncio.run(all_of_them())


@given(st.integers(1, 2000), st.integers(1, 300), st.lists(st.floats(0, 1), max_size=30))
def test_a_total_is_never_overspent_and_the_rest_is_handed_out(total, own, parts):
    own = min(own, total)
    purse = Purse(Budget(completion_tokens=total), own=Budget(completion_tokens=own))
    left = total
    for found in spend_all(purse, parts):
        if isinstance(found, str):
            assert found == "total_budget.completion_tokens"
            assert left == 0
        else:
            used, budget = found
            assert budget == min(own, left)
            left -= used


async def test_a_share_is_the_problems_own_budget_while_there_is_enough():
    own = Budget(completion_tokens=100, calls=7, seconds=50, landing_tokens=10)
    share = await Purse(Budget(completion_tokens=150), own=own).take()
    assert share.budget == own
    assert not share.lowered


async def test_the_rest_has_the_same_proportions():
    own = Budget(completion_tokens=100, total_tokens=400, flops=1e9, landing_tokens=60)
    total = Budget(completion_tokens=150, total_tokens=10_000, flops=1e12)
    purse = Purse(total, own=own)
    first = await purse.take()
    first.settle(None)
    rest = await purse.take()
    assert rest.budget.completion_tokens == 50
    assert rest.budget.total_tokens == 200
    assert rest.budget.flops == 5e8
    assert rest.budget.landing_tokens == 0
    assert rest.named(Result("p", None, limit="total_tokens")).limit == "total_budget.total_tokens"
    assert rest.named(Result("p", None, limit="calls")).limit == "calls"


async def test_who_finds_too_little_waits_for_what_others_give_back():
    purse = Purse(Budget(calls=10), own=Budget(calls=8))
    first = await asyncio.create_task(purse.take())  # each problem has a task of its own
    second = asyncio.create_task(purse.take())
    await asyncio.sleep(0)
    assert not second.done()
    first.settle(Usage(calls=1))
    assert (await second).budget.calls == 8


async def test_what_was_spent_before_counts():
    total, own = Budget(calls=10), Budget(calls=8)
    share = await Purse(total, Usage(calls=7), own).take()
    assert share.budget.calls == 3
    with pytest.raises(BudgetExhausted) as caught:
        await Purse(total, Usage(calls=10), own).take()
    assert caught.value.limit == "total_budget.calls"


async def test_less_than_a_first_step_is_not_handed_out():
    purse = Purse(Budget(calls=10), Usage(calls=8), Budget(calls=5), least=Usage(calls=3))
    with pytest.raises(BudgetExhausted, match="too small for one problem more"):
        await purse.take()


async def test_seconds_are_what_is_left_of_them():
    purse = Purse(Budget(seconds=100), Usage(seconds=70), Budget(seconds=60))
    share = await purse.take()
    assert 0 < share.budget.seconds <= 30
    assert share.lowered == {"seconds"}
    with pytest.raises(BudgetExhausted):
        await Purse(Budget(seconds=100), Usage(seconds=101)).take()


@pytest.mark.parametrize("own", [None, Budget(calls=3)])
def test_a_total_wants_the_same_limit_for_each_problem(own):
    with pytest.raises(ConfigError, match=r"budget\.usd is not set") as caught:
        check_own(Budget(usd=3), own)
    assert "Set budget.usd" in caught.value.hint
    check_own(Budget(calls=30, seconds=9), Budget(calls=3))
    check_own(None, None)
