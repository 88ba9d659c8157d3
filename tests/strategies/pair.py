"""Two simulated models whose every word is known: a token is a character."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tts.backends.simulated import SimulatedBackend, Step
from tts.testing import LengthVerifier
from tts.types import ModelInfo, Problem, Score

PROBLEM = Problem("p", prompt="What is it?")
SMALL = ModelInfo("small", active_params=10, n_layers=1, attention_width=4, tokenizer="s",
                  usd_per_completion_token=1.0)  # fmt: skip
LARGE = ModelInfo("large", active_params=1000, n_layers=2, attention_width=16, tokenizer="l",
                  usd_per_completion_token=100.0)  # fmt: skip
PROMPT = 10


@dataclass
class Writer:
    """Writes the same steps whoever asks, and goes on where a step was cut.

    Attributes:
        steps: Its steps, each with its blank line; the last one ends the answer.
        unsure: The likeliest tokens of each step, by number: as many of equal probability.
        info: For the accounts.
    """

    steps: list[str]
    unsure: list[int] = field(default_factory=list)
    info: ModelInfo = SMALL

    def backend(self, **how):
        return SimulatedBackend(self._simulate, self.info, **how)

    def _simulate(self, problem, node, seed):
        if node.text.endswith("{"):  # asked for its result in so many words
            return Step("9}", 2)
        if node.text.endswith("</think>"):
            return Step(self.steps[-1], len(self.steps[-1]))
        done, _, begun = node.text.rpartition("\n\n")
        number = (done + "\n\n").count("\n\n") if done else 0
        text = self.steps[number][len(begun) :]
        wide = self.unsure[number] if self.unsure else 1
        tops = dict.fromkeys(range(wide), -math.log(wide) - 1.0)  # some mass is elsewhere
        final = number == len(self.steps) - 1
        return Step(text, len(text), final, top_logprobs=tops)


def steps(name, *lengths, end="\\boxed{%s}"):
    """Steps of such lengths, blank lines included, and an end."""
    told = [f"{name}{i}".ljust(n - 2, ".") + "\n\n" for i, n in enumerate(lengths)]
    return [*told, end % name]


@dataclass(frozen=True)
class Marks(LengthVerifier):
    """Grades steps by their number: 0 to 9, as probabilities."""

    marks: tuple[float, ...] = ()

    async def score(self, problem, trajectories, ctx):
        numbers = [t.text.rstrip("\n").count("\n\n") for t in trajectories]
        return [Score(self.marks[n] / 9, "probability") for n in numbers]


def cost(info, prompt, completion):
    """Of one request, with nothing from a cache."""
    return info.usage(prompt, 0, completion)
