"""Margins against hand-computed ones, and the noise that explains a text."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.audit.margins import CAP, allowed, explained, read_margins
from tts.types import Sampling

WARM = Sampling(temperature=0.5)


def logs(*shares):
    return np.log(np.array(shares))


def numbered(values):
    return dict(enumerate(map(float, values)))


def test_without_noise_it_is_how_much_likelier_the_likeliest_was():
    places = [numbered(logs(0.5, 0.3, 0.2))] * 3
    found = read_margins((0, 1, 2), (math.log(0.5), math.log(0.3), math.log(0.2)), places, WARM)
    assert found.plain == pytest.approx([0, math.log(5 / 3), math.log(5 / 2)])
    assert found.noisy is None and found.chance is None


def test_with_noise_by_hand():
    """z = ln(.5, .3, .2), T = 0.5, G = (0, 2, 1): sums -0.693, -0.204, -1.109."""
    place, noise = numbered(logs(0.5, 0.3, 0.2)), {0: 0.0, 1: 2.0, 2: 1.0}
    found = read_margins((0,), (math.log(0.5),), (place,), WARM, (noise,))
    assert found.noisy == pytest.approx([math.log(0.3) + 1 - math.log(0.5)])
    # What the noise makes is token 1: 0.3 squared among the squares.
    assert found.chance == pytest.approx([0.09 / (0.25 + 0.09 + 0.04)])


def test_a_drawn_token_that_is_none_of_the_likeliest_counts_as_well():
    found = read_margins((7,), (-6.0,), ({0: -0.1},), WARM, ({0: 0.0, 7: 20.0},))
    assert found.plain == pytest.approx([5.9])
    assert found.noisy == pytest.approx([0])


def test_margins_are_cut():
    found = read_margins((1,), (-50.0,), ({0: 0.0},), WARM, ({0: 0.0, 1: 0.0},))
    assert found.plain == [CAP] and found.noisy == [CAP]


@pytest.mark.parametrize("filters", [{"top_k": 1}, {"top_p": 0.5}, {"min_p": 0.7}])
def test_what_the_reference_would_have_filtered_out_has_the_largest_margin(filters):
    place, noise = numbered(logs(0.6, 0.4)), {0: 0.0, 1: 9.0}
    sampling = Sampling(1.0, **filters)
    (drawn_first, drawn_second) = (
        read_margins((token,), (place[token],), (place,), sampling, (noise,)) for token in (0, 1)
    )
    assert drawn_first.noisy == [0] and drawn_first.chance == [1]
    assert drawn_second.noisy == [CAP]


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(1.0), [1, 1, 1, 1]),
        (Sampling(1.0, top_k=2), [1, 1, 1, 0]),  # the third is as likely as the second
        (Sampling(1.0, top_p=0.4), [1, 0, 0, 0]),
        (Sampling(1.0, top_p=0.41), [1, 1, 0, 0]),
        (Sampling(1.0, min_p=0.5), [1, 1, 1, 0]),
        (Sampling(0.5, min_p=0.5), [1, 1, 1, 0]),  # squares: .16, .0625, .0625, .01
        (Sampling(0.5, min_p=0.4), [1, 0, 0, 0]),
    ],
)
def test_filters(sampling, kept):
    shares = (0.4, 0.25, 0.25, 0.1)
    if sampling.temperature == 0.5 and sampling.min_p == 0.5:
        shares = (0.4, 0.3, 0.3, 0.1)  # squares: .16, .09, .09, .01
    assert allowed(logs(*shares), sampling).tolist() == [bool(each) for each in kept]


@given(
    st.lists(st.floats(-8, 0), min_size=2, max_size=8),
    st.floats(-5, 5),
    st.floats(0.1, 2),
    st.integers(0, 7),
    st.integers(0, 2**32 - 1),
)
def test_a_constant_changes_nothing(values, shift, temperature, place, seed):
    """Log-probabilities do as well as logits."""
    drawn, sampling = place % len(values), Sampling(temperature, top_p=0.9)
    noise = (numbered(np.random.default_rng(seed).gumbel(size=len(values))),)
    before, after = (
        read_margins((drawn,), (moved[drawn],), (numbered(moved),), sampling, noise)
        for moved in (np.array(values), np.array(values) + shift)
    )
    assert before.plain == pytest.approx(after.plain, abs=1e-9)
    assert before.noisy == pytest.approx(after.noisy, abs=1e-9)


def _drawn(seed, count, noise_seed):
    """A text that one noise made, and read with another."""
    rng = np.random.default_rng(seed)
    places = np.log(rng.dirichlet(np.ones(6), size=count))
    made = np.random.default_rng(seed + 1000).gumbel(size=places.shape)
    read = np.random.default_rng(noise_seed + 1000).gumbel(size=places.shape)
    tokens = (places / 0.8 + made).argmax(axis=1)
    return read_margins(
        tokens.tolist(),
        places[np.arange(count), tokens].tolist(),
        [numbered(place) for place in places],
        Sampling(0.8),
        [numbered(place) for place in read],
    )


def test_the_noise_that_made_a_text_leaves_no_margin_and_explains_it():
    reading = _drawn(3, 200, 3)
    assert (reading.noisy == 0).all()
    assert explained([reading]) > 10


def test_other_noise_explains_nothing():
    values = [explained([_drawn(seed, 200, seed + 1)]) for seed in range(40)]
    assert abs(np.mean(values)) < 3 / math.sqrt(40)  # it is a standard normal value
    assert 0.6 < np.std(values) < 1.4


def test_where_nothing_was_left_to_chance_nothing_is_explained():
    sure = read_margins((0,), (0.0,), ({0: 0.0},), Sampling(1.0), ({0: 0.0},))
    greedy = read_margins((0,), (-0.1,), ({0: -0.1},), Sampling(0.0), ({0: 0.0},))
    assert explained([sure, greedy]) == 0 and greedy.noisy is None
