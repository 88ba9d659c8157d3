"""Perplexity and divergence, against closed forms and a divergence that is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tts.errors import ConfigError
from tts.quantize.readings import Reading, as_json, divergence, from_json, perplexity


def test_perplexity_weighs_tokens_not_answers():
    found = perplexity([Reading(-3 * math.log(2), 3), Reading(-math.log(32), 1)])
    assert found == pytest.approx(2 ** ((3 + 5) / 4))


def test_equal_models_do_not_diverge():
    same = [Reading(-1.5, 3), Reading(-0.25, 1), Reading(-9.0, 4)]
    found = divergence(same, same)
    assert (found.mean, found.low, found.high) == (0, 0, 0)


def test_with_answers_of_one_length_it_is_students_interval():
    lost = [0.1, 0.5, -0.2, 0.4]
    full = [Reading(-1.0, 5)] * 4
    found = divergence(full, [Reading(-1.0 - each, 5) for each in lost], level=0.9)
    per_token = np.array(lost) / 5
    low, high = stats.t.interval(0.9, 3, loc=per_token.mean(), scale=stats.sem(per_token))
    assert (found.mean, found.low, found.high) == pytest.approx((per_token.mean(), low, high))


def test_a_known_divergence_is_found():
    """Tokens drawn from one die and read by another; lengths vary."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.4, 0.2])
    known = float(np.sum(p * np.log(p / q)))
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        draws = [rng.choice(3, size=rng.integers(5, 60), p=p) for _ in range(60)]
        full, other = (
            [Reading(float(np.log(die)[each].sum()), len(each)) for each in draws] for die in (p, q)
        )
        found = divergence(full, other)
        inside += found.low <= known <= found.high
    # 200 intervals at 95%: fewer than 180 that cover would be a chance of 0.2%.
    assert inside >= 180


def test_other_tokens_are_refused():
    with pytest.raises(ConfigError, match="have not read the same tokens"):
        divergence([Reading(-1, 2)] * 2, [Reading(-1, 2), Reading(-1, 3)])


def test_readings_survive_being_kept():
    found = [Reading(-1.25, 3), Reading(-0.1, 1)]
    assert from_json(as_json(found)) == found
