"""What verifiers made of others have in common: what is asked of one is asked of its parts.

Knows no scores.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

from tts.errors import ConfigError, VerifierError
from tts.protocols import ChecksModel, ReadsTop, Startable, Verifier, VerifierContext
from tts.types import Capability, ModelInfo, Problem, Score, Usage


class Composite(ABC):
    """A verifier that has others judge. Needs, loads and costs what they do."""

    @property
    @abstractmethod
    def inner(self) -> Mapping[str, Verifier]:
        """The others, by the name of the field that holds them; at least one."""

    @property
    def requires(self) -> frozenset[Capability]:
        """What any of them needs."""
        return frozenset().union(*(part.requires for part in self.inner.values()))

    @property
    def partial(self) -> bool:
        """Whether all of them judge unfinished answers."""
        return all(part.partial for part in self.inner.values())

    @property
    def top(self) -> int:
        """Most of the likeliest tokens that any of them reads; 0 if none reads them."""
        readers = (part for part in self.inner.values() if isinstance(part, ReadsTop))
        return max((part.top for part in readers), default=0)

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """One call, and together what each of them may cost."""
        bounds = [part.bound(problem, tokens, ctx) for part in self.inner.values()]
        return replace(reduce(add, bounds), verifier_calls=1)

    def check(self, model: ModelInfo, weights: str | None) -> None:
        """Refuse a model whose answers any of them cannot judge.

        Args:
            model: Writes the answers.
            weights: Hash of its weights; None if that is unknown.

        Raises:
            ConfigError: One of them was fitted on the answers of another.
        """
        for part in self.inner.values():
            if isinstance(part, ChecksModel):
                part.check(model, weights)

    async def start(self) -> None:
        """Start those that must load something, all at once; safe to call again.

        The first failure cancels the other starts, and is raised when they have ended.
        """
        starts = [asyncio.create_task(part.start()) for part in self._startable()]
        try:
            await asyncio.gather(*starts)
        finally:
            for task in starts:
                task.cancel()
            await asyncio.gather(*starts, return_exceptions=True)

    async def aclose(self) -> None:
        """Close all of them, also if one cannot be; safe to call again."""
        closed = await asyncio.gather(
            *(part.aclose() for part in self._startable()), return_exceptions=True
        )
        for error in closed:
            if isinstance(error, BaseException):
                raise error

    def _startable(self) -> list[Startable]:
        return [part for part in self.inner.values() if isinstance(part, Startable)]


def check_part(name: str, part: object) -> None:
    """Refuse what is no verifier.

    Raises:
        ConfigError: It is none.
    """
    if not hasattr(part, "score") or not hasattr(part, "identity"):
        raise ConfigError(
            f"verifier.{name} is no verifier.",
            hint=f"Choose one, such as verifier@verifier.{name}=likelihood.",
        )


def identities(parts: Mapping[str, Verifier]) -> dict[str, Any]:
    """What decides the scores of each part."""
    return {name: dict(part.identity()) for name, part in parts.items()}


def chance(name: str, score: Score) -> float:
    """The probability that a part's score is.

    Raises:
        VerifierError: It is a reward without bounds, which is comparable with no other score.
    """
    try:
        return score.probability
    except ValueError as error:
        raise VerifierError(
            f"verifier.{name} gives rewards without bounds, and only probabilities can be combined"
            " or held against thresholds.",
            hint="Calibrate it first: verifier=calibrated, see `tts verifier-report --fit`.",
        ) from error
