"""Pots and leases: whatever the schedule, no limit is overspent, and nobody starves."""

from __future__ import annotations

import asyncio
import random
from contextvars import Context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tts.budget.pot import LEASED, Budget, Pot, cost_of
from tts.errors import BudgetExhausted
from tts.types import ModelInfo, Usage

MODEL = ModelInfo(
    "m", active_params=10, n_layers=2, attention_width=4, usd_per_completion_token=0.001
)


def cost(prompt: int = 5):
    return lambda tokens: MODEL.usage(prompt, 0, tokens)


def apart(work):
    """A task that is not inside what its maker holds."""
    return asyncio.create_task(work, context=Context())


requests = st.lists(
    st.tuples(
        st.integers(1, 60),  # wanted
        st.integers(0, 60),  # truly used, capped by the lease
        st.sampled_from(["whole", "abort", "fail", "cancel"]),
        st.integers(0, 3),  # steps before it asks
        st.booleans(),  # from the child pot
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=200, deadline=None)
@given(
    requests=requests, limit=st.sampled_from(LEASED), size=st.floats(0.02, 2), seed=st.integers()
)
async def test_no_schedule_overshoots(requests, limit, size, seed):
    everything = sum((MODEL.usage(5, 0, want) for want, *_ in requests), Usage())
    amount = size * cost_of(everything, limit)
    if limit not in ("flops", "usd"):
        amount = max(1, int(amount))
    pot = Pot(Budget.model_validate({limit: amount}))
    try:
        child = pot.split(0.5)
    except BudgetExhausted:
        child = pot
    rng = random.Random(seed)
    paid = []

    async def one(want, used, fate, delay, in_child):
        for _ in range(delay):
            await asyncio.sleep(0)
        try:
            lease = await (child if in_child else pot).lease(cost(), want)
        except BudgetExhausted:
            return
        try:
            for _ in range(rng.randint(0, 4)):
                await asyncio.sleep(0)
        finally:
            # An abort has used a part; after a failure the truth is unknown.
            real = MODEL.usage(5, 0, min(used if fate != "abort" else used // 2, lease.tokens))
            lease.settle(None if fate == "fail" else real)
            paid.append(lease.bound if fate == "fail" else real)

    tasks = [asyncio.create_task(one(*request)) for request in requests]
    for task, (_, _, fate, _, _) in zip(tasks, requests, strict=True):
        if fate == "cancel":
            for _ in range(rng.randint(0, 3)):
                await asyncio.sleep(0)
            task.cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), timeout=5)
    spent = sum(paid, Usage())
    assert cost_of(spent, limit) <= amount * (1 + 1e-9)
    assert cost_of(pot.spent, limit) == pytest.approx(cost_of(spent, limit))
    assert pot._leases == 0 and not pot._queue, "everybody was served"
    assert pot.remaining(limit) == pytest.approx(amount - cost_of(spent, limit))


async def test_sixteen_samples_on_a_small_pot_give_whole_answers_one_after_another():
    pot = Pot(Budget(completion_tokens=500))
    whole = []

    async def sample():
        try:
            lease = await pot.lease(cost(), 128)
        except BudgetExhausted:
            return
        await asyncio.sleep(0)
        used = min(60, lease.tokens)
        lease.settle(MODEL.usage(5, 0, used))
        whole.append(used == 60)

    await asyncio.gather(*(sample() for _ in range(16)))
    assert sum(whole) == 8  # 8 x 60 = 480, and the last 20 make one half
    assert len(whole) == 9


async def test_a_roomy_pot_serves_all_at_once():
    pot = Pot(Budget(completion_tokens=1000))
    leases = [await asyncio.wait_for(pot.lease(cost(), 100), 1) for _ in range(10)]
    assert pot.remaining("completion_tokens") == 0
    for lease in leases:
        lease.settle(MODEL.usage(5, 0, 100))
    with pytest.raises(BudgetExhausted) as refused:
        await pot.lease(cost(), 1)
    assert refused.value.limit == "completion_tokens"
    assert "Raise budget.completion_tokens" in str(refused.value)


async def test_a_waiter_is_served_when_a_lease_comes_back():
    pot = Pot(Budget(completion_tokens=100))
    first = await pot.lease(cost(), 90)
    waiting = apart(pot.lease(cost(), 50))
    await asyncio.sleep(0)
    assert not waiting.done()
    first.settle(MODEL.usage(5, 0, 10))
    assert (await waiting).tokens == 50


async def test_a_newcomer_does_not_overtake_the_line():
    pot = Pot(Budget(completion_tokens=100))
    first = await pot.lease(cost(), 90)
    big = apart(pot.lease(cost(), 80))
    await asyncio.sleep(0)
    small = apart(pot.lease(cost(), 5))
    await asyncio.sleep(0)
    assert not big.done() and not small.done()
    first.settle(MODEL.usage(5, 0, 10))
    assert (await big).tokens == 80
    assert (await small).tokens == 5


async def test_who_holds_a_lease_never_waits_for_another():
    pot = Pot(Budget(completion_tokens=100))
    first = await pot.lease(cost(), 90)
    queued = apart(pot.lease(cost(), 80))
    await asyncio.sleep(0)
    second = await asyncio.wait_for(pot.lease(cost(), 50), 5)  # in a task of its own, by the way
    assert second.tokens == 10 and not queued.done()
    with pytest.raises(BudgetExhausted, match="while a stream is open") as refused:
        await asyncio.wait_for(asyncio.gather(pot.lease(cost(), 50)), 5)
    assert refused.value.limit == "completion_tokens" and "env.reserve" in refused.value.hint
    first.settle(MODEL.usage(5, 0, 5))
    second.settle(MODEL.usage(5, 0, 10))
    assert (await queued).tokens == 80


async def test_what_is_held_elsewhere_makes_nobody_impatient():
    pot, other = Pot(Budget(completion_tokens=100)), Pot(Budget(completion_tokens=100))
    mine = await pot.lease(cost(), 60)
    assert pot.inside and pot.split(0.5).inside
    assert not other.inside and not mine.pot().inside
    mine.settle(Usage())
    assert not pot.inside


async def test_the_last_one_gets_what_is_left():
    pot = Pot(Budget(completion_tokens=100))
    lease = await pot.lease(cost(), 300)
    assert lease.tokens == 100


async def test_least_is_respected():
    pot = Pot(Budget(completion_tokens=10))
    with pytest.raises(BudgetExhausted):
        await pot.lease(cost(), 50, least=20)


async def test_the_landing_reserve_is_kept_back():
    pot = Pot(Budget(completion_tokens=100, landing_tokens=30))
    (await pot.lease(cost(), 300)).settle(MODEL.usage(5, 0, 70))
    with pytest.raises(BudgetExhausted):
        await pot.lease(cost(), 1)
    assert (await pot.lease(cost(), 30, landing=True)).tokens == 30


async def test_an_unknown_cost_is_charged_whole_and_a_lease_settles_once():
    pot = Pot(Budget(completion_tokens=100))
    lease = await pot.lease(cost(), 40)
    lease.settle(None)
    assert pot.spent.completion_tokens == 40
    with pytest.raises(RuntimeError):
        lease.settle(None)


async def test_a_share_spends_from_its_parent():
    pot = Pot(Budget(completion_tokens=100, usd=1.0))
    half = pot.split(0.5)
    lease = await half.lease(cost(), 80)
    assert lease.tokens == 50
    lease.settle(MODEL.usage(5, 0, 30))
    assert pot.remaining("completion_tokens") == 70
    assert half.remaining("completion_tokens") == 20
    assert half.remaining("usd") == pytest.approx(0.5 - 0.03)


async def test_seconds_run_out():
    now = 0.0
    pot = Pot(Budget(seconds=10), clock=lambda: now)
    (await pot.lease(cost(), 5)).settle(Usage())
    now = 11.0
    with pytest.raises(BudgetExhausted) as refused:
        await pot.lease(cost(), 5)
    assert refused.value.limit == "seconds"


@pytest.mark.parametrize(
    ("written", "read"), [("2k", 2000), ("1.5M", 1_500_000), ("300", 300), (7, 7)]
)
def test_amounts_with_suffixes(written, read):
    assert Budget(completion_tokens=written).completion_tokens == read


@pytest.mark.parametrize("field", [*LEASED, "seconds"])
@pytest.mark.parametrize("value", [0, -1, "nonsense", float("nan")])
def test_a_budget_of_nothing_is_refused(field, value):
    with pytest.raises(ValidationError):
        Budget.model_validate({field: value})


def test_an_unknown_limit_is_refused():
    with pytest.raises(ValidationError):
        Budget.model_validate({"tokens": 5})


def test_the_landing_reserve_is_a_part():
    with pytest.raises(ValidationError, match="landing_tokens"):
        Budget(completion_tokens=10, landing_tokens=10)


def test_leases_cost_no_more_with_more_waiters():
    """The work per lease does not grow with the length of the line."""

    async def steps(n: int) -> int:
        pot = Pot(Budget(completion_tokens=n * 10))
        calls = 0

        def counted(tokens: int) -> Usage:
            nonlocal calls
            calls += 1
            return MODEL.usage(5, 0, tokens)

        async def one() -> None:
            lease = await pot.lease(counted, n * 10)  # always the whole pot: all but one wait
            await asyncio.sleep(0)
            lease.settle(MODEL.usage(5, 0, 1))

        await asyncio.gather(*(one() for _ in range(n)), return_exceptions=True)
        return calls

    few, many = asyncio.run(steps(20)), asyncio.run(steps(200))
    assert many / 200 <= 2 * few / 20
