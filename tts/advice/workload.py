"""What an engine is asked for, as far as its speed and memory depend on it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from tts.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Workload:
    """Answers that are generated side by side.

    Attributes:
        concurrency: Answers in flight at once, at least 1.
        prompt_tokens: Tokens of a prompt, at least 1.
        completion_tokens: Tokens of an answer, at least 1.
        samples: Answers to a problem, which share its prompt; at least 1.
        shared_tokens: First tokens that the prompts of all problems share.
        sequential_tokens: Tokens of a problem that are generated one after the other; those of one
            answer if it is 0.

    Raises:
        ConfigError: A value cannot be used.
    """

    concurrency: float = 1
    prompt_tokens: float = 512
    completion_tokens: float = 512
    samples: float = 1
    shared_tokens: float = 0
    sequential_tokens: float = 0

    def __post_init__(self) -> None:
        for each in fields(self):
            value, least = getattr(self, each.name), 0 if each.default == 0 else 1
            if not least <= value < math.inf:
                raise ConfigError(f"workload.{each.name} is {value:g}; it must be {least} or more.")
        if self.shared_tokens >= self.prompt_tokens and self.shared_tokens:
            raise ConfigError(
                f"workload.shared_tokens is {self.shared_tokens:g}, and a prompt has"
                f" {self.prompt_tokens:g} tokens; a part of it must be its own."
            )

    def __str__(self) -> str:
        said = (
            f"{self.concurrency:,.0f} in flight, {self.prompt_tokens:,.0f} tokens of prompt and"
            f" {self.completion_tokens:,.0f} of answer"
        )
        return said + (f", {self.samples:,.0f} a problem" if self.samples > 1 else "")

    @property
    def length(self) -> float:
        """Tokens of a prompt and its answer."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def chain(self) -> float:
        """Tokens of a problem that are generated one after the other."""
        return self.sequential_tokens or self.completion_tokens

    def cached_tokens(self, block: int) -> float:
        """Prompt tokens that come from the prefix cache, on average.

        Only full blocks are shared, and a prompt's last token is always computed again. The first
        answer to a problem finds what all problems share, the others find its prompt.

        Args:
            block: Tokens in a block.
        """
        most = self.prompt_tokens - 1
        first = min(self.shared_tokens, most) // block * block
        return (first + (self.samples - 1) * (most // block * block)) / self.samples
