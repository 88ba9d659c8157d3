"""The noise with which vLLM draws tokens on a processor, made again from a request's seed.

vLLM draws with the Gumbel-max trick: to each token's logit (after temperature and filters) it adds
noise of the Gumbel distribution, and takes the largest sum. A request with a seed has a generator
of its own, of which each token takes one number; the noise of each word of the vocabulary is a
hash (SplitMix64; Steele, Lea & Flood 2014) of that number and the word's id. So it can be made
again for any place and any words, without the others.

The algorithm is that of one version of vLLM (0.32, CPU build); others, and GPUs, draw otherwise.
`is_known` therefore lets the compiled sampler and this module draw the same, and believes neither
the version nor these words.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts.engine.hardware import has_operator

_OPERATOR = "fused_gumbel_argmax"
_SEEDS = 1 << 31  # of which the sampler draws one a token
_STEP = np.uint64(0x9E3779B97F4A7C15)
_TRIAL = (64, 50)  # rows and words with which the sampler is tried


def draw_numbers(seed: int, count: int) -> list[int]:
    """What a request's generator gives to its first tokens, one number a token."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    return [
        int(torch.randint(0, _SEEDS, (1,), generator=generator, dtype=torch.long))
        for _ in range(count)
    ]


def gumbel(numbers: Sequence[int], tokens: Sequence[int]) -> NDArray[np.float64]:
    """The noise of tokens, each at a place of its own.

    Args:
        numbers: Which the generator gave for these places.
        tokens: Ids, each at least 0, as many.

    Returns:
        Of the same shape.
    """
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is what is meant
        keys = _mixed(np.asarray(numbers, dtype=np.uint64))
        ids = np.asarray(tokens, dtype=np.uint64)
        bits = _mixed(keys + (ids + np.uint64(1)) * _STEP) >> np.uint64(11)
    uniform: NDArray[np.float64] = (bits.astype(np.float64) + 0.5) * 2.0**-53
    noise: NDArray[np.float64] = -np.log(-np.log(uniform))
    return noise


def noise_of(seed: int, places: Sequence[Sequence[int]]) -> list[list[float]]:
    """The noise of some tokens at each of the first places of a request's draw."""
    ends = list(accumulate(map(len, places)))
    numbers = np.repeat(draw_numbers(seed, len(places)), [len(place) for place in places])
    values = gumbel(numbers.tolist(), [token for place in places for token in place]).tolist()
    return [values[end - len(place) : end] for end, place in zip(ends, places, strict=True)]


@cache
def is_known() -> bool:
    """Whether the sampler of the installed engine draws as this module does; asks it.

    Imports vLLM, which takes seconds.
    """
    if not has_operator(_OPERATOR):
        return False
    import torch

    logits = torch.randn(_TRIAL, generator=torch.Generator().manual_seed(0))
    numbers = torch.arange(_TRIAL[0], dtype=torch.long)
    drawn = _drawn(logits, numbers)
    rows, words = np.indices(_TRIAL)
    noise = gumbel(rows.ravel().tolist(), words.ravel().tolist()).reshape(_TRIAL)
    return bool((drawn == (logits.numpy().astype(np.float64) + noise).argmax(axis=1)).all())


def _drawn(logits: Any, numbers: Any) -> NDArray[np.int64]:
    """What the compiled sampler draws."""
    import torch

    found: NDArray[np.int64] = torch.ops._C.fused_gumbel_argmax(logits, numbers).numpy()
    return found


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The mixing function of SplitMix64."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
