"""From the scores of the steps to the score of an answer.

Sources: `prod` and `min` Lightman et al. 2023 ("Let's Verify Step by Step"); `last` Snell et al.
2024 ("Scaling LLM Test-Time Compute Optimally"); `model` Puri et al. 2025 ("Rollout Roulette").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast, get_args

from tts.errors import ConfigError
from tts.verifiers._prm.format import Aggregation, Encoded, Format


def check_aggregation(name: str | None, format: Format) -> Aggregation:
    """The aggregation that is wanted; the format's own for None.

    Raises:
        ConfigError: There is no such one, or the format has but one value to give.
    """
    if name is None:
        return format.aggregation
    known = get_args(Aggregation)
    if name not in known:
        raise ConfigError(
            f"verifier.aggregation is {name!r}.", hint=f"It is one of {', '.join(known)}."
        )
    if format.head == "sequence" and name != "model":
        raise ConfigError(
            f"verifier.aggregation is {name!r}, and an outcome model scores no steps.",
            hint="Leave it out, or take a process reward model.",
        )
    return cast(Aggregation, name)


def needed(encoded: Encoded, aggregation: Aggregation) -> Encoded:
    """The answer with only the places that the aggregation looks at."""
    if aggregation in ("last", "model"):
        return Encoded(encoded.ids, encoded.places[-1:])
    return encoded


def aggregate(scores: Sequence[float], aggregation: Aggregation) -> float:
    """One score of those of the steps, in order, at least one."""
    match aggregation:
        case "prod":
            return math.prod(scores)
        case "min":
            return min(scores)
        case "mean":
            return min(1.0, math.fsum(scores) / len(scores))
        case _:
            return scores[-1]
