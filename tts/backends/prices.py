"""What a model costs: dollars by the token, and the seconds of an idealised runtime.

The idealised runtime of a request is that of a server with nobody else on it: so much for each
call, prompt token (not cached) and generated token, fitted once by whoever compares models. Unlike
the wall clock it does not depend on the machine, its load, or the number of requests in flight.
Source: Narayanan et al. 2023, "Cheaply Estimating Inference Efficiency Metrics for Autoregressive
Transformer Models".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tts.errors import ConfigError
from tts.types import ModelInfo


@dataclass(frozen=True, slots=True)
class Prices:
    """A price list.

    Attributes:
        prompt: Dollars per million prompt tokens that are not cached.
        cached: Dollars per million cached prompt tokens.
        completion: Dollars per million generated tokens.
        seconds_per_call: Of the idealised runtime, for each request.
        seconds_per_prompt_token: The same for each prompt token that is not cached.
        seconds_per_completion_token: The same for each generated token.
    """

    prompt: float = 0.0
    cached: float = 0.0
    completion: float = 0.0
    seconds_per_call: float = 0.0
    seconds_per_prompt_token: float = 0.0
    seconds_per_completion_token: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < float("inf"):
                raise ConfigError(
                    f"model.prices.{name} is {value}; it must be 0 or more, and finite.",
                    hint=f"Set model.prices.{name}=0.",
                )

    def on(self, model: ModelInfo) -> ModelInfo:
        """The model with these prices."""
        return replace(
            model,
            usd_per_prompt_token=self.prompt / 1e6,
            usd_per_cached_token=self.cached / 1e6,
            usd_per_completion_token=self.completion / 1e6,
            seconds_per_call=self.seconds_per_call,
            seconds_per_prompt_token=self.seconds_per_prompt_token,
            seconds_per_completion_token=self.seconds_per_completion_token,
        )


def read_prices(value: Prices | Mapping[str, Any] | None) -> Prices:
    """A price list as it is, or made of a mapping; None for one of zeros.

    Raises:
        ConfigError: A field is unknown, negative or no number.
    """
    if isinstance(value, Prices):
        return value
    try:
        return Prices(**dict(value or {}))
    except TypeError as error:
        known = ", ".join(Prices.__dataclass_fields__)
        raise ConfigError(
            f"model.prices cannot be read: {error}.", hint=f"Its fields are {known}."
        ) from None
