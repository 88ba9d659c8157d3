"""How much of a chain was written after its answer was there, and whether its conclusions agree.

Positions are characters of the thinking part, shares lie between 0 and 1. The answer is the chain's
own final one, right or wrong; what never comes to it has no redundancy, which is not none.
"""

from __future__ import annotations

from itertools import pairwise

from tts.analysis.conclusions import places
from tts.analysis.reading import Chain


def seen(chain: Chain) -> int | None:
    """Where the value of the final answer is written for the first time; None if it never is.

    It may stand there by chance: in the question repeated, or as a result on the way.
    """
    if chain.answer is None:
        return None
    return next(iter(places(chain.answer, chain.text[: chain.end])), None)


def concluded(chain: Chain) -> int | None:
    """Where the first step ends that concludes the final answer; None if none does."""
    if chain.answer is None:
        return None
    return next((step.end for step in chain.steps if step.value == chain.answer), None)


def redundancy(chain: Chain) -> float | None:
    """Share of the chain behind its first conclusion that equals the final answer.

    None if no step concludes it.
    """
    at = concluded(chain)
    return None if at is None else (chain.end - at) / chain.end


def agreement(chain: Chain) -> float | None:
    """Share of successive conclusions that are equal; None with fewer than two of them."""
    values = [step.value for step in chain.steps if step.value is not None]
    pairs = list(pairwise(values))
    return sum(one == other for one, other in pairs) / len(pairs) if pairs else None
