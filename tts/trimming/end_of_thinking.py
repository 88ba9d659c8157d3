"""The end of thinking made likelier, or less likely, wherever the model might put it.

Source: Zhang et al. 2025, "Making Small Language Models Efficient Reasoners", whose idea it is to
scale the temperature of the end-of-thinking token, which small models often have among the
likeliest and do not take; the formula is ours. A token of log-probability `l` gets the weight
`exp(l / T + bias)` at a temperature T, while the weights of all others stay as they are. So T above
1 lifts it by the larger factor where it is less likely, and not where it is certain: a large T ends
long chains anywhere. The bias lifts it by the same factor everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tts.errors import ConfigError
from tts.types import Capability, Steering
from tts.watching import Decision, Pause, Piece, Reply, Setting


@dataclass(frozen=True)
class EndOfThinking:
    """Changes how likely a model is to end its thinking.

    Args:
        temperature: What the log-probability of the end is divided by, above 0; above 1 it comes
            sooner, below 1 later, and 1 changes nothing.
        bias: Added to its logit after that; above 0 it comes sooner, below 0 later.
    """

    temperature: float = 1.0
    bias: float = 0.0
    requires: frozenset[Capability] = frozenset({Capability.LOGITS_PROCESSORS})

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ConfigError(
                f"end_of_thinking.temperature is {self.temperature}; it must be a number above 0."
            )
        if not math.isfinite(self.bias):
            raise ConfigError(f"end_of_thinking.bias is {self.bias}; it must be a number.")

    def begin(self, setting: Setting) -> Steering:
        """What is changed; it stays the same.

        Raises:
            ConfigError: The model has no end of thinking.
        """
        end = setting.thinking.end
        if not end:
            raise ConfigError(
                "end_of_thinking changes how likely the end of thinking is, and this model marks"
                " none.",
                hint="Set model.thinking.end, or leave trimming.end_of_thinking out.",
            )
        bias = {end: self.bias} if self.bias else {}
        temperatures = {end: self.temperature} if self.temperature != 1 else {}
        return Steering(bias, temperatures)

    def pause(self, state: Steering) -> Pause:
        """Never, but steered; where nothing is changed, not even that."""
        return Pause(steering=state if state.bias or state.temperatures else None)

    def read(self, state: Steering, piece: Piece) -> tuple[Steering, Decision]:
        """Nothing is to be decided."""
        return state, None

    def hear(self, state: Steering, reply: Reply) -> tuple[Steering, Decision]:
        """It asks nothing."""
        return state, None
