"""Token-DiFR: how far a reference model is from having drawn the tokens that a candidate drew.

The reference reads what the candidate wrote, token by token (teacher-forced). At each place it has
log-probabilities of its own, z. A sampler that knows its noise G (Gumbel, from the seed) takes the
token with the largest z / T + G; so had the reference drawn, it would have taken the token v with
the largest z_v + T G_v, and the margin

    max over v of (z_v + T G_v)  -  (z_drawn + T G_drawn)

is 0 where both draw the same, tiny where rounding made a difference, and larger the further the
models are apart. Only differences of z occur, so log-probabilities do as well as logits: the
constant that parts them, the same for all tokens of a place, falls out. Without noise (T = 0) the
margin is how much likelier the likeliest token was. That is right for greedy decoding, and all that
can be said where the noise is unknown; an honest run's margin is then not 0 but depends on the
text, and it takes many more tokens to tell two models apart.

The maximum goes over the tokens that the sampler's filters (min-p, top-k, top-p) leave, in the
order of vLLM's sampler. A token that the reference would have filtered out has an infinite margin;
margins are cut at `CAP`, so that no single token decides.

Source: Karvonen et al. 2025, "DiFR: Inference Verification Despite Nondeterminism" (Token-DiFR).
What differs: a reference tells of its likeliest tokens only. Tokens beyond them are taken not to
win, which makes a margin too small where one would have, and the share of top-p is that of the
tokens that are told of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tts.types import Sampling

CAP = 10.0
"""Largest margin of a token, in nats."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reference makes of a text, token by token.

    Attributes:
        plain: Margins without noise, in nats, 0 to `CAP`, of shape (tokens,).
        noisy: Margins with the noise of the draw, likewise; None if there is none.
        chance: Probability, for the reference, of the token that it would have drawn with that
            noise, of shape (tokens,); None with `noisy`.
    """

    plain: Floats
    noisy: Floats | None = None
    chance: Floats | None = None


def read_margins(
    tokens: Sequence[int],
    logprobs: Sequence[float],
    tops: Sequence[Mapping[int, float]],
    sampling: Sampling,
    noise: Sequence[Mapping[int, float]] | None = None,
) -> Reading:
    """The margins of a text.

    Args:
        tokens: Ids, as they were drawn.
        logprobs: That the reference gives them (nats, temperature 1).
        tops: For each place the reference's likeliest tokens, at least one.
        sampling: How the candidate drew.
        noise: For each place the noise of these tokens; None if it is unknown, or nothing was
            drawn at random.
    """
    places = [_place(*each) for each in zip(tokens, logprobs, tops, strict=True)]
    plain = np.array([min(CAP, values[0] - values[at]) for _, values, at in places])
    if noise is None or not sampling.temperature:
        return Reading(plain)
    pairs = [
        _with_noise(values, at, np.array([known[token] for token in ids]), sampling)
        for (ids, values, at), known in zip(places, noise, strict=True)
    ]
    noisy, chance = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return Reading(plain, noisy, chance)


def allowed(logprobs: Floats, sampling: Sampling) -> NDArray[np.bool_]:
    """Which tokens of a place the sampler's filters leave.

    Args:
        logprobs: Theirs (nats, temperature 1), falling.
        sampling: How tokens are drawn; its temperature is above 0.

    Returns:
        Of the same shape; the first is always allowed.
    """
    scaled = np.exp((logprobs - logprobs[0]) / sampling.temperature)
    kept: NDArray[np.bool_] = scaled >= sampling.min_p
    if sampling.top_k:
        # Tokens that are as likely as the last of them stay as well.
        kept &= scaled >= scaled[min(sampling.top_k, len(scaled)) - 1]
    if sampling.top_p < 1:
        masses = np.where(kept, scaled, 0.0)
        before = np.cumsum(masses) - masses
        kept &= before < sampling.top_p * masses.sum()
    kept[0] = True
    return kept


def explained(readings: Sequence[Reading]) -> float:
    """How sure it is that texts were drawn with the noise that they were read with.

    With any other noise the token of a place would be the one that this noise makes with a
    probability of `chance`, independent of all other places.

    Returns:
        By how many standard deviations there are more such tokens than there would be; 0 if
        nothing was left to chance, or there is no noise.
    """
    told = [(r.noisy, r.chance) for r in readings if r.noisy is not None and r.chance is not None]
    same = sum(int((noisy == 0).sum()) for noisy, _ in told)
    mean = sum(float(chance.sum()) for _, chance in told)
    variance = sum(float((chance * (1 - chance)).sum()) for _, chance in told)
    return (same - mean) / math.sqrt(variance) if variance > 0 else 0.0


def _place(
    drawn: int, logprob: float, likeliest: Mapping[int, float]
) -> tuple[list[int], Floats, int]:
    """Tokens of a place with their log-probabilities, falling; and where the drawn one stands."""
    table = {**likeliest, drawn: logprob}
    ids = sorted(table, key=lambda token: -table[token])
    return ids, np.array([table[token] for token in ids]), ids.index(drawn)


def _with_noise(values: Floats, at: int, noise: Floats, sampling: Sampling) -> tuple[float, float]:
    """The margin of the token at `at`, and the probability of the token that the noise makes."""
    kept = allowed(values, sampling)
    sums = np.where(kept, values + sampling.temperature * noise, -np.inf)
    best = int(sums.argmax())
    shares = np.where(kept, np.exp((values - values[0]) / sampling.temperature), 0.0)
    return min(CAP, float(sums[best] - sums[at])), float(shares[best] / shares.sum())
