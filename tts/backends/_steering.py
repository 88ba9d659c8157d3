"""What a request's steering says, in token ids; and a word where a backend cannot be steered.

Pure. Knows no tokenizer: it is told which id a text has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

from tts.errors import CapabilityMissing, ConfigError
from tts.types import Capability, Request, Steering

_MOST_BIAS = 1000.0  # far beyond what forces a token, and far below what overflows
_TEMPERATURES = (0.001, 1000.0)


@dataclass(frozen=True, slots=True)
class Changes:
    """Steering by token ids, without what changes nothing.

    Attributes:
        bias: What is added to logits; -inf forbids a token.
        temperatures: What log-probabilities are divided by.
    """

    bias: Mapping[int, float]
    temperatures: Mapping[int, float]


def refuse_steering(request: Request, capabilities: Set[Capability], name: str) -> None:
    """Refuse a request that steers, where a backend does not offer that.

    Raises:
        CapabilityMissing: The request steers, and `logits_processors` is not among the
            `capabilities` of the backend called `name`.
    """
    if request.steering is not None and Capability.LOGITS_PROCESSORS not in capabilities:
        raise CapabilityMissing(
            f"The request is steered, and {name} has no logits processors to do that.",
            hint="Take the bundled engine (backend=vllm), or leave out what steers.",
        )


def in_ids(steering: Steering, id_of: Callable[[str], int | None], vocabulary: int = 0) -> Changes:
    """Turn texts into ids.

    Args:
        steering: Of a request.
        id_of: Says which token a text is; None if it is not exactly one.
        vocabulary: Number of tokens that the model knows; 0 if that is unknown.

    Raises:
        ConfigError: A text is not exactly one token, none of the spellings that are banned is, a
            number cannot be used, or every token is forbidden.
    """
    bias: dict[int, float] = {}
    for text, value in steering.bias.items():
        if not (value == -math.inf or abs(value) <= _MOST_BIAS):
            raise ConfigError(
                f"steering.bias of {text!r} is {value}; it must be -inf, or lie between"
                f" {-_MOST_BIAS:g} and {_MOST_BIAS:g}."
            )
        token = _single(text, "steering.bias", id_of)
        bias[token] = bias.get(token, 0.0) + value
    temperatures: dict[int, float] = {}
    for text, value in steering.temperatures.items():
        low, high = _TEMPERATURES
        if not low <= value <= high:
            raise ConfigError(
                f"steering.temperatures of {text!r} is {value}; it must lie between {low:g} and"
                f" {high:g}."
            )
        token = _single(text, "steering.temperatures", id_of)
        temperatures[token] = temperatures.get(token, 1.0) * value
    bias |= dict.fromkeys(_banned(steering, id_of), -math.inf)
    if vocabulary and sum(value == -math.inf for value in bias.values()) >= vocabulary:
        raise ConfigError("The request's steering forbids every token.")
    return Changes(
        {token: value for token, value in bias.items() if value},
        {token: value for token, value in temperatures.items() if value != 1},
    )


def _single(text: str, field: str, id_of: Callable[[str], int | None]) -> int:
    token = id_of(text)
    if token is None:
        raise ConfigError(
            f"{field} names {text!r}, which is not exactly one token of the model's tokenizer.",
            hint="Name a text that is one token, or use a model that has this one as a token.",
        )
    return token


def _banned(steering: Steering, id_of: Callable[[str], int | None]) -> list[int]:
    """The tokens among the spellings that are banned."""
    found = [token for text in steering.banned if (token := id_of(text)) is not None]
    if steering.banned and not found:
        said = ", ".join(map(repr, sorted(steering.banned)[:8]))
        raise ConfigError(
            f"None of the {len(steering.banned)} spellings that are banned ({said}, …) is one"
            " token of the model's tokenizer.",
            hint="Name words that the tokenizer has as one token.",
        )
    return found
