"""Controllers played on pools: what is drawn, what it costs, and who wins. Simulated pools."""

from __future__ import annotations

import random

import pytest

from tts.budget import Allocation, BetaStopping, Fixed
from tts.errors import ConfigError
from tts.evaluation.estimators import Pool
from tts.evaluation.playing import play
from tts.types import Grant


def pool(keys, right="r", scores=()):
    found = tuple(None if key == "." else key for key in keys)
    return Pool(found, tuple(key == right for key in keys), tuple(scores))


def world(seed, problems=300, n=40):
    """Easy problems, toss-ups that more samples decide, and hopeless ones."""
    rng, pools = random.Random(seed), {}
    for i in range(problems):
        chance, others = rng.choice([(0.95, "ab"), (0.55, "ab"), (0.4, "abcd"), (0.02, "a" * 0)])
        others = others or [f"w{j}" for j in range(99)]
        keys = ["r" if rng.random() < chance else rng.choice(others) for _ in range(n)]
        pools[f"p{i}"] = pool(keys)
    return pools


def test_fixed_takes_the_first_n_of_each_pool():
    played = play(Fixed(), {"p": pool("rrab"), "q": pool("abbr")}, n=3)
    assert played.drawn == {"p": 3, "q": 3}
    assert played.right == {"p": 1.0, "q": 0.0}
    assert (played.accuracy, played.spent) == (0.5, 6)


def test_ties_are_shared_and_silence_is_wrong():
    played = play(Fixed(), {"tie": pool("ra"), "silent": pool("..")})
    assert played.right == {"tie": 0.5, "silent": 0.0}


def test_the_best_score_can_be_what_is_chosen():
    pools = {"p": pool("aar", scores=(0.2, 0.3, 0.9)), "q": pool("ra.", scores=(0.5, 0.5, 1.0))}
    assert play(Fixed(), pools, choice="best").right == {"p": 1.0, "q": 0.5}


def test_the_pot_is_never_passed_and_the_last_get_what_is_left():
    pools = {f"p{i}": pool("rarar") for i in range(4)}
    played = play(Fixed(), pools, 12)
    assert played.drawn == {"p0": 5, "p1": 5, "p2": 2, "p3": 0}
    assert played.right["p3"] == 0.0


def test_costs_are_paid_in_tokens():
    played = play(Fixed(), {"p": pool("rrr")}, 25, costs={"p": [10, 10, 10]})
    assert (played.drawn["p"], played.spent) == (2, 20)


def test_beta_stops_where_it_does_on_a_backend():
    played = play(BetaStopping(0.95, batch=1), {"p": pool("r" * 9), "q": pool("rrarrrrrr")})
    assert played.drawn == {"p": 4, "q": 7}


def test_allocation_uses_its_pot_whether_all_are_in_flight_or_few():
    pools = world(1, 100)
    full = play(Allocation(), pools, 800)
    few = play(Allocation(), pools, 800, concurrency=16)
    assert full.spent == 800
    assert 700 <= few.spent <= 800
    assert min(few.drawn.values()) >= 3


@pytest.mark.parametrize("average", [6, 8])
def test_allocation_beats_fixed_and_beta_at_the_same_total(average):
    gains = []
    for seed in range(3):
        pools = world(seed)
        total = average * len(pools)
        ours = play(Allocation(), pools, total)
        fixed = play(Fixed(), pools, total, n=average)
        stopped = [play(BetaStopping(t, 1), pools) for t in (0.8, 0.9, 0.95)]
        # Beta as it is where it fits the pot, and else as a run ends that the pot cuts short.
        beta = (
            max(s.accuracy for s in stopped if s.spent <= total)
            if any(s.spent <= total for s in stopped)
            else play(BetaStopping(0.8, 1), pools, total).accuracy
        )
        gains.append((ours.accuracy - fixed.accuracy, ours.accuracy - beta))
    assert min(gain for gain, _ in gains) > 0.02
    assert min(gain for _, gain in gains) > 0.0


class TooMuch:
    def decide(self, evidence, pot):
        return [Grant(name, e.wants + 1) for name, e in evidence.items()]


class Nobody:
    def decide(self, evidence, pot):
        return []


def test_a_grant_beyond_what_is_wanted_is_refused():
    with pytest.raises(ConfigError, match="granted 4 samples"):
        play(TooMuch(), {"p": pool("rrr")})


def test_a_controller_that_decides_nothing_ends_the_game():
    assert play(Nobody(), {"p": pool("rrr")}).drawn == {"p": 0}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"total": 0}, "total is 0"),
        ({"n": 0}, "n is 0"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"costs": {"p": [1]}}, "1 costs for 3 samples"),
    ],
)
def test_what_cannot_be_played_is_refused(wrong, said):
    with pytest.raises(ConfigError, match=said):
        play(Fixed(), {"p": pool("rrr")}, **wrong)


def test_no_pool_is_refused():
    with pytest.raises(ConfigError, match="no problem"):
        play(Fixed(), {})
