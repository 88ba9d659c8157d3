"""How a request that steers its decode tells the engine: by token ids, in `extra_args`.

Light: the engine's own processes read it with `tts.engine.processor`, which needs vLLM. Knows
nothing of texts or of the tokenizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROCESSOR = "tts.engine.processor:SteeringProcessor"
"""The logits processor that the engine is told to load."""

_ARGUMENT = "tts_steering"

Pairs = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one request changes. No id occurs twice in a field.

    Attributes:
        bias: Token ids with what is added to their logits; -inf forbids one.
        temperatures: Token ids with what their log-probability is divided by, above 0.
    """

    bias: Pairs = ()
    temperatures: Pairs = ()

    @classmethod
    def read(cls, extra_args: Mapping[str, Any] | None) -> Entry | None:
        """The entry in a request's further arguments; None if it does not steer."""
        said = (extra_args or {}).get(_ARGUMENT)
        if said is None:
            return None
        bias, temperatures = said
        return cls(_pairs(bias), _pairs(temperatures))

    def write(self) -> dict[str, Any] | None:
        """Further arguments for a request, of types that the engine's transport knows."""
        if not self.bias and not self.temperatures:
            return None
        return {_ARGUMENT: [[list(pair) for pair in self.bias],
                            [list(pair) for pair in self.temperatures]]}  # fmt: skip


def _pairs(said: Any) -> Pairs:
    return tuple((int(token), float(value)) for token, value in said)
