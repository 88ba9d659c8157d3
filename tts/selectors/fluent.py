"""A vote in which short chains weigh more, and those that waver little and connect their steps.

Source of the observation: "Think Deep, Think Fast" (Wang et al. 2025): within a problem, right
answers of reasoning models are shorter, with fewer words that hedge and more that connect. What is
made of it here is ours, as nothing need be fitted: the mean of a chain's ranks. Such figures differ
between models, so try it on problems of your own first. The words are English.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tts.errors import ConfigError
from tts.protocols import VerifierContext
from tts.selectors._counting import places, summed
from tts.types import Candidate, Capability, Problem

HEDGES = (
    "maybe",
    "perhaps",
    "possibly",
    "probably",
    "wait",
    "hmm",
    "not sure",
    "i think",
    "alternatively",
)
CONNECTIVES = (
    "therefore",
    "thus",
    "hence",
    "so",
    "because",
    "since",
    "first",
    "second",
    "then",
    "finally",
)

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Fluent:
    """Each candidate weighs as much as the votes for its answer add up to.

    A vote is worth the mean, over three features, of (n - rank + 1) / n among the n candidates
    with an answer: the number of words (few are better), hedges per word (few), connectives per
    word (many). Who ties has the mean of the ranks.

    Args:
        hedges: Words, or several in a row, that hedge; at least one. Case does not matter.
        connectives: Words, or several in a row, that connect; at least one.
    """

    hedges: tuple[str, ...] = HEDGES
    connectives: tuple[str, ...] = CONNECTIVES
    requires: frozenset[Capability] = frozenset()
    asks: bool = False

    def __post_init__(self) -> None:
        for name in ("hedges", "connectives"):
            words = getattr(self, name)
            if not words or not all(_WORD.search(word) for word in words):
                raise ConfigError(
                    f"strategy.selector.{name} is {list(words)}; it must name words, at least one.",
                    hint=f"Set strategy.selector.{name}=[maybe], or leave it out.",
                )

    async def weigh(
        self, problem: Problem, candidates: Sequence[Candidate], ctx: VerifierContext
    ) -> list[float]:
        """Sum of the votes for the candidate's answer; -inf for a candidate without one."""
        texts = [c.trajectory.text.lower() for c in candidates if c.answer]
        lengths = [len(_WORD.findall(text)) for text in texts]
        features = (
            [-float(length) for length in lengths],
            [-rate for rate in _rates(texts, lengths, self.hedges)],
            _rates(texts, lengths, self.connectives),
        )
        columns = [_worth(feature) for feature in features]
        votes = iter([math.fsum(row) / len(row) for row in zip(*columns, strict=True)])
        return summed(candidates, [next(votes) if c.answer else 0.0 for c in candidates])


def _rates(texts: Sequence[str], lengths: Sequence[int], words: Sequence[str]) -> list[float]:
    """Occurrences of some words for each word of a text."""
    pattern = re.compile("|".join(rf"\b{re.escape(word.lower())}\b" for word in words))
    return [
        len(pattern.findall(text)) / max(1, length)
        for text, length in zip(texts, lengths, strict=True)
    ]


def _worth(values: Sequence[float]) -> list[float]:
    """For each value (n - rank + 1) / n, the largest first."""
    n = len(values)
    return [(n + 1 - (first + last) / 2) / n for first, last in places(values)]
