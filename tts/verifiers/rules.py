r"""Rules as verifiers: what a text must and must not hold, and whether its arithmetic is right.

They cost nothing, know no model and no right answer. What they say is little, and surely true: so
they go well before a dearer verifier, or as a factor of one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tts.errors import ConfigError
from tts.protocols import VerifierContext
from tts.types import Capability, Problem, Score, Trajectory, Usage
from tts.verifiers._equations import equations

FREE = Usage(verifier_calls=1)


@dataclass(frozen=True)
class Pattern:
    r"""Whether a text holds what it must and nothing that it must not: 1 or 0.

    Args:
        must: Regular expressions (Python's) that must all occur somewhere in the answer.
        must_not: Regular expressions of which none may occur.
    """

    must: tuple[str, ...] = ()
    must_not: tuple[str, ...] = ()
    requires: frozenset[Capability] = frozenset()

    def __post_init__(self) -> None:
        if not self.must and not self.must_not:
            raise ConfigError(
                "verifier.must and verifier.must_not are both empty: there is nothing to check.",
                hint="Set verifier.must=['answer'], for instance.",
            )
        for name in ("must", "must_not"):
            for pattern in getattr(self, name):
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise ConfigError(
                        f"verifier.{name} holds {pattern!r}, which is no regular expression:"
                        f" {error}.",
                        hint="Write a backslash before a sign that stands for itself.",
                    ) from error

    @property
    def partial(self) -> bool:
        """Whether unfinished answers can be judged: what must occur may still be to come."""
        return not self.must

    def identity(self) -> Mapping[str, Any]:
        """The patterns."""
        return {"verifier": "pattern", "must": [*self.must], "must_not": [*self.must_not]}

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """A call, and nothing else."""
        return FREE

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """The probability, 1 or 0, that the rule is kept."""
        return [Score(float(self._kept(t.text)), "probability") for t in trajectories]

    def _kept(self, text: str) -> bool:
        return all(re.search(p, text) for p in self.must) and not any(
            re.search(p, text) for p in self.must_not
        )


@dataclass(frozen=True)
class Arithmetic:
    """Which share of the equations between numbers that an answer writes down are true.

    They are worked out exactly, see `tts.verifiers._equations` for what is read. It judges steps,
    not whether they lead anywhere: an answer with no equation in it has made no such mistake.

    Args:
        rounded: Whether a decimal may be the value rounded to its places, as in 10/3 = 3.33.
        none: The score of an answer without an equation, 0 to 1.
    """

    rounded: bool = True
    none: float = 1.0
    requires: frozenset[Capability] = frozenset()
    partial: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.none <= 1:
            raise ConfigError(
                f"verifier.none is {self.none:g}; it must lie in [0, 1].",
                hint="Set verifier.none=1.",
            )

    def identity(self) -> Mapping[str, Any]:
        """What counts as true, and what nothing is worth."""
        return {"verifier": "arithmetic", "rounded": self.rounded, "none": self.none}

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """A call, and nothing else."""
        return FREE

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """The probability that an equation taken at random from the answer is true."""
        return [Score(self._one(trajectory), "probability") for trajectory in trajectories]

    def _one(self, trajectory: Trajectory) -> float:
        found = equations(trajectory.text, ended=trajectory.finish == "stop")
        true = sum(equation.holds(rounded=self.rounded) for equation in found)
        return true / len(found) if found else self.none


@dataclass(frozen=True)
class HasAnswer:
    """Whether an answer can be read in a text, in the format of the task: 1 or 0."""

    requires: frozenset[Capability] = frozenset()
    partial: bool = False

    def identity(self) -> Mapping[str, Any]:
        """Its name; the format is the task's."""
        return {"verifier": "has_answer"}

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """A call, and nothing else."""
        return FREE

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """The probability, 1 or 0, that there is an answer."""
        found = [ctx.answers.extract(t.text) is not None for t in trajectories]
        return [Score(float(each), "probability") for each in found]
