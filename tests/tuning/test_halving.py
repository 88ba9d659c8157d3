"""Successive halving: its rungs, its budget, its ties, and that it finds what is best."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.errors import ConfigError
from tts.tuning.sampling.halving import Halving, plan

NAMES = [f"arm{i}" for i in range(40)]


def hold(halving, score, cost=lambda arm, problem: 1):
    """Hold a contest, and return all that was asked."""
    asks = []
    while asked := halving.ask():
        assert halving.ask() is asked
        asks.append(asked)
        numbers = range(asked.start, asked.stop)
        scores = {arm: [score(arm, number) for number in numbers] for arm in asked.arms}
        tokens = {arm: sum(cost(arm, number) for number in numbers) for arm in asked.arms}
        halving.tell(scores, tokens)
    return asks


@pytest.mark.parametrize(
    ("arms", "problems", "eta", "first", "rungs"),
    [
        (7, 128, 3, 16, [(7, 43), (3, 128)]),
        (14, 128, 3, 16, [(14, 43), (5, 128)]),  # a third rung would begin with 15
        (14, 128, 3, 15, [(14, 15), (5, 43), (2, 128)]),
        (16, 160, 2, 10, [(16, 20), (8, 40), (4, 80), (2, 160)]),
        (3, 100, 3, 1, [(3, 100)]),
        (1, 100, 3, 1, [(1, 100)]),
        (9, 5, 3, 16, [(9, 5)]),
    ],
)
def test_the_rungs_are_those_of_a_hand_calculation(arms, problems, eta, first, rungs):
    assert plan(arms, problems, eta, first) == rungs


@pytest.mark.parametrize(("eta", "first", "problems"), [(1, 16, 128), (3, 0, 128), (3, 16, 0)])
def test_what_is_out_of_range_is_refused(eta, first, problems):
    with pytest.raises(ConfigError, match="it must be at least"):
        plan(4, problems, eta, first)


@given(
    arms=st.integers(1, 40),
    problems=st.integers(1, 300),
    eta=st.integers(2, 5),
    first=st.integers(1, 40),
    seed=st.integers(0, 10**6),
)
def test_the_best_arm_survives_where_nothing_is_noisy(arms, problems, eta, first, seed):
    """One arm is better than any other on every problem, however hard the problem is."""
    rng = random.Random(seed)
    names = NAMES[:arms]
    worth = dict(zip(names, rng.sample(range(1000), arms), strict=True))
    hardness = [rng.uniform(-5, 5) for _ in range(problems)]
    halving = Halving(names, problems, eta=eta, first=first)
    hold(halving, lambda arm, number: worth[arm] + hardness[number])
    assert halving.winner == max(worth, key=worth.__getitem__)
    for rung in halving.rungs:
        assert list(rung.kept) == sorted(rung.means, key=lambda a: -worth[a])[: len(rung.kept)]


@given(
    arms=st.integers(2, 40),
    problems=st.integers(1, 200),
    eta=st.integers(2, 5),
    first=st.integers(1, 40),
    seed=st.integers(0, 10**6),
    thrift=st.none() | st.floats(0.05, 1.5),
)
def test_arms_of_a_rung_share_their_problems_and_rungs_are_nested(
    arms, problems, eta, first, seed, thrift
):
    rng = random.Random(seed)
    cap = 50
    budget = None if thrift is None else int(thrift * arms * problems * cap)
    try:
        halving = Halving(
            NAMES[:arms], problems, eta=eta, first=first, budget=budget, cap=cap
        )  # fmt: skip
    except ConfigError as error:
        assert budget is not None and "a first look" in error.message
        assert budget < arms * cap * len(plan(arms, problems, eta, first))
        return
    seen: dict[str, list[int]] = {arm: [] for arm in NAMES[:arms]}
    rungs = []
    for asked in hold(
        halving, lambda *_: rng.random(), lambda *_: rng.randint(0, cap)
    ):  # fmt: skip
        assert asked.start < asked.stop <= problems
        for arm in asked.arms:
            seen[arm] += range(asked.start, asked.stop)
        rungs.append((asked.rung, asked.arms))
    for arm, numbers in seen.items():
        assert numbers == list(range(len(numbers))), arm  # each once, from the front
    for rung in halving.rungs:
        assert all(len(seen[arm]) >= rung.problems for arm in rung.means)
        assert set(rung.kept) < set(rung.means)
    assert [set(r.means) for r in halving.rungs[1:]] == [set(r.kept) for r in halving.rungs[:-1]]
    assert [r for r, _ in rungs] == sorted(r for r, _ in rungs)
    assert halving.winner in halving.rungs[-1].kept and len(halving.rungs[-1].kept) == 1
    if budget is None:
        assert [(len(r.means), r.problems) for r in halving.rungs] == halving.plan
    else:
        assert halving.tokens <= budget


@given(
    seed=st.integers(0, 10**6),
    arms=st.integers(2, 12),
    share=st.floats(0.3, 3.0),
    dear=st.booleans(),
)
def test_the_budget_is_never_exceeded_and_used_where_problems_are_cheap(seed, arms, share, dear):
    """Whatever problems cost below the cap; what cheap ones leave buys further problems."""
    rng, cap, problems = random.Random(seed), 100, 90
    rungs = len(plan(arms, problems, 3, 16))
    budget = int(share * rungs * arms * cap * 10)
    halving = Halving(NAMES[:arms], problems, budget=budget, cap=cap)
    hold(halving, lambda *_: rng.random(), lambda *_: cap if dear else rng.randint(1, 20))
    assert halving.tokens <= budget
    last = halving.rungs[-1]
    if last.problems < problems:  # cut short: then less is left than one more problem may take
        left = budget - last.tokens
        assert left < len(last.means) * cap


def test_a_budget_that_pays_for_no_look_is_refused():
    with pytest.raises(ConfigError, match=r"tokens is 99, and a first look at 2 arms may take 200"):
        Halving(["a", "b"], 50, budget=99, cap=100)
    Halving(["a"], 50, budget=1, cap=100)  # nothing is to be chosen


def test_of_equal_arms_those_that_were_given_first_go_on():
    halving = Halving(["d", "c", "b", "a"], 60, eta=2)
    hold(halving, lambda arm, _: 0.0 if arm == "d" else 0.1 + 0.2)
    assert [rung.kept for rung in halving.rungs] == [("c", "b"), ("c",)]


def test_rounding_breaks_no_tie():
    halving = Halving(["a", "b"], 3)
    ask = halving.ask()
    assert ask and ask.stop == 3
    halving.tell({"a": [0.1, 0.2, 0.3], "b": [0.3, 0.2, 0.1 + 1e-16]}, {"a": 1, "b": 2})
    assert halving.winner == "a"


def test_problems_that_failed_for_one_arm_count_for_none():
    halving = Halving(["a", "b"], 4)
    halving.ask()
    halving.tell({"a": [1.0, 0.0, 0.0, 1.0], "b": [None, 1.0, 0.0, 1.0]}, {"a": 1, "b": 1})
    (rung,) = halving.rungs
    assert (rung.problems, rung.judged) == (4, 3)
    assert rung.means == pytest.approx({"a": 1 / 3, "b": 2 / 3}) and halving.winner == "b"


def test_where_nothing_was_judged_nothing_is_chosen():
    halving = Halving(["a", "b"], 2)
    halving.ask()
    with pytest.raises(ValueError, match="no problem was judged"):
        halving.tell({"a": [None, 1.0], "b": [1.0, None]}, {"a": 1, "b": 1})


@pytest.mark.parametrize(
    ("scores", "tokens"),
    [
        ({"a": [1.0] * 4}, {"a": 1, "b": 1}),
        ({"a": [1.0] * 4, "b": [1.0] * 3}, {"a": 1, "b": 1}),
        ({"a": [1.0] * 4, "b": [1.0] * 4}, {"a": 1}),
    ],
)
def test_what_was_not_asked_for_is_not_taken(scores, tokens):
    halving = Halving(["a", "b"], 4)
    halving.ask()
    with pytest.raises(ValueError, match="not what was asked"):
        halving.tell(scores, tokens)


def test_names_occur_once():
    for names in ([], ["a", "a"]):
        with pytest.raises(ConfigError, match="no two of the same name"):
            Halving(names, 10)


def test_noise_leaves_a_clearly_better_arm_and_pairing_helps():
    """One arm of eight is right on 80% of the problems, the others on 60%, of 128.

    Where all arms meet the same luck (an arm is right if its chance is above the problem's own
    number) the best is never behind. Where each has luck of its own, a rival is ahead on the 43
    problems of the first rung with chance P(z > 2.07) = 1.9%. The best is lost there if three of
    the seven are, which by Markov's inequality has a chance of at most 7 * 1.9% / 3 = 4.5%; the
    second rung adds less than 0.1%.
    """
    chances = dict.fromkeys(NAMES[:8], 0.6) | {NAMES[5]: 0.8}
    kept = {"paired": 0, "alone": 0}
    for seed in range(200):
        for kind in kept:
            rng = random.Random(f"{seed} {kind}")
            shared = [rng.random() for _ in range(128)]

            def right(arm, number, rng=rng, shared=shared, kind=kind):
                luck = shared[number] if kind == "paired" else rng.random()
                return float(luck < chances[arm])

            halving = Halving(NAMES[:8], 128)
            hold(halving, right)
            kept[kind] += halving.winner == NAMES[5]
    assert kept["paired"] == 200
    assert 182 <= kept["alone"] < 200  # 190.8 less three standard deviations at that bound
