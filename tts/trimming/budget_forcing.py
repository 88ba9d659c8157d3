"""Budget forcing: a cap on thinking that holds, and a floor below which thinking goes on.

Source: Muennighoff et al. 2025, "s1: Simple test-time scaling". Where the cap is reached, thinking
is closed and the model states its result; where the model ends its thinking too early, the end is
taken back and a word follows that makes it look again. A model that was not trained to think for
long may lose accuracy by that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tts.errors import ConfigError
from tts.types import Capability
from tts.watching import Close, Decision, Insert, Pause, Piece, Reply, Setting


@dataclass(frozen=True, slots=True)
class Spent:
    """What has been thought.

    Attributes:
        tokens: So far.
        read: The same in characters.
        extended: How often an end has been taken back.
    """

    tokens: int = 0
    read: int = 0
    extended: int = 0


@dataclass(frozen=True)
class BudgetForcing:
    """Keeps the length of thinking between two numbers of tokens.

    Args:
        maximum: Most tokens between the tags of thinking, inserted ones included, at least 1; not
            one more is generated. None for no cap.
        minimum: Tokens below which an end of thinking is taken back, at least 0.
        extensions: How often it is taken back at most, at least 0.
        wait: Text that then follows.
        closing: Text before the tag that closes thinking at the cap.
    """

    maximum: int | None = None
    minimum: int = 0
    extensions: int = 1
    wait: str = "Wait"
    closing: str = ""
    requires: frozenset[Capability] = frozenset()

    def __post_init__(self) -> None:
        if self.maximum is not None and self.maximum < 1:
            raise ConfigError(
                f"budget_forcing.maximum is {self.maximum}; it must be at least 1.",
                hint="Set trimming.budget_forcing.maximum=null for no cap.",
            )
        for name in ("minimum", "extensions"):
            if getattr(self, name) < 0:
                raise ConfigError(f"budget_forcing.{name} is {getattr(self, name)}; it must be 0+.")
        if self.maximum is not None and self.minimum > self.maximum:
            raise ConfigError(
                f"budget_forcing.minimum is {self.minimum}, above its maximum of {self.maximum}.",
                hint="Lower the minimum, or raise the maximum.",
            )
        if self.minimum and self.extensions and not self.wait:
            raise ConfigError(
                "budget_forcing.wait is empty, so an end that is taken back would come again.",
                hint="Set trimming.budget_forcing.wait=Wait.",
            )

    def begin(self, setting: Setting) -> Spent:
        """Nothing has been thought.

        Raises:
            ConfigError: The cap leaves no room for an answer, or the model has no end of thinking.
        """
        if self.maximum is not None and self.maximum >= setting.max_tokens:
            raise ConfigError(
                f"budget_forcing.maximum is {self.maximum}, and a whole answer may have"
                f" {setting.max_tokens} tokens.",
                hint="Lower the maximum, or raise task.max_tokens.",
            )
        if self.minimum and not setting.thinking.end:
            raise ConfigError(
                "budget_forcing.minimum takes back the end of thinking, and this model marks none.",
                hint="Set trimming.budget_forcing.minimum=0, or model.thinking.end.",
            )
        return Spent()

    def pause(self, state: Spent) -> Pause:
        """At the cap; and at the end, if that is too early."""
        left = None if self.maximum is None else max(1, self.maximum - state.tokens)
        return Pause(tokens=left, end=self._too_early(state))

    def read(self, state: Spent, piece: Piece) -> tuple[Spent, Decision]:
        """Count."""
        grown = replace(
            state, tokens=state.tokens + piece.tokens, read=state.read + len(piece.text)
        )
        if self.maximum is not None and grown.tokens >= self.maximum and piece.ending != "end":
            over = grown.tokens > self.maximum  # what others have inserted does not fit
            at = state.read if over else grown.read
            return grown, Close(at, self.closing, f"{self.maximum} tokens of thinking")
        if piece.ending == "end" and self._too_early(grown):
            reason = f"an end after {grown.tokens} tokens"
            return replace(grown, extended=grown.extended + 1), Insert(
                grown.read, self.wait, reason
            )
        return grown, None

    def hear(self, state: Spent, reply: Reply) -> tuple[Spent, Decision]:
        """It asks nothing."""
        return state, None

    def _too_early(self, state: Spent) -> bool:
        return state.tokens < self.minimum and state.extended < self.extensions
