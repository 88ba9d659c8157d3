r"""How perplexed a model is by an answer behind a chain, for `importance`.

What is scored is the answer and what closes it, never the words that lead to it. Perplexities of
short answers are noisy, so the answer is put in several phrasings, whose perplexities are averaged
(geometrically, each token of a phrasing counting the same). Knows no engine: whatever reads will do
(`tts.protocols.Reads`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Self

from tts.analysis.importance import Perplexity
from tts.errors import ConfigError
from tts.protocols import Reads
from tts.types import Problem, Segment, Trajectory, Usage
from tts.watching import Thinking

SLOT = "{answer}"
SENTENCES = (f"\n\nThe answer is {SLOT}.", f"\n\nTherefore, the final answer is {SLOT}.")
"""Phrasings for models of language, beside their own way to state a result."""


@dataclass(frozen=True, slots=True)
class Phrasing:
    r"""A way to put an answer.

    Attributes:
        before: Words that lead to it. A space at their end belongs to the answer, as in the tokens
            of most models.
        after: What closes it, such as a brace or a full stop.
    """

    before: str
    after: str

    @classmethod
    def of(cls, template: str) -> Self:
        r"""Read '\n\nThe answer is {answer}.'.

        Raises:
            ConfigError: It has no place for the answer, or several.
        """
        if template.count(SLOT) != 1:
            raise ConfigError(
                f"The phrasing {template!r} must have one {SLOT} in it.",
                hint=f"Write such as 'The answer is {SLOT}.'.",
            )
        before, _, after = template.partition(SLOT)
        return cls(before, after)

    def given(self, answer: str) -> str:
        """What is scored, behind `lead`."""
        return f"{self.before[len(self.lead) :]}{answer}{self.after}"

    @property
    def lead(self) -> str:
        """What stands before that."""
        return self.before.rstrip(" ")


def usual(thinking: Thinking) -> tuple[str, ...]:
    """The phrasings to begin with: the model's own way to state a result, and two sentences."""
    lead = thinking.lead
    return (f"{lead}{SLOT}{'}' * (lead.count('{') - lead.count('}'))}", *SENTENCES)


def read_perplexity(
    backend: Reads, phrasings: Sequence[Phrasing], charge: Callable[[Usage], None]
) -> Perplexity:
    """The perplexity of an answer as a model finds it that reads it.

    Args:
        backend: Reads; started, if it must be.
        phrasings: How the answer is put, at least one.
        charge: Told what each reading has cost.
    """

    async def one(
        problem: Problem, trajectory: Trajectory, answer: str, phrasing: Phrasing
    ) -> float:
        lead = Segment(phrasing.lead, origin="injected")
        node = trajectory.extend(lead, child=0, clock=0) if lead.text else trajectory
        read, usage = await backend.read(problem, node, Segment(phrasing.given(answer)))
        charge(usage)
        return fmean(read.logprobs or ())

    async def perplexity(problem: Problem, trajectory: Trajectory, answer: str) -> float:
        means = [await one(problem, trajectory, answer, phrasing) for phrasing in phrasings]
        return math.exp(-fmean(means))

    return perplexity
