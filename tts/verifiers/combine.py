"""One probability of those of several verifiers: their mean, least, product, or weighted mean.

The parts must speak of the same thing, probabilities; logits are turned into them, and rewards
without bounds are refused (see `Calibrated`). Knows nothing of how the parts judge.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tts.errors import ConfigError
from tts.protocols import Verifier, VerifierContext
from tts.types import Problem, Score, Trajectory
from tts.verifiers._composite import Composite, chance, check_part, identities
from tts.verifiers._prm.together import together


@dataclass(frozen=True, eq=False)
class _Combination(Composite):
    """Asks all parts at once, and joins what they say of each answer.

    Args:
        parts: The verifiers, by names of your choice; at least one.

    Raises:
        ConfigError: There is no part, or one is no verifier.
    """

    parts: Mapping[str, Verifier]

    method: ClassVar[str]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ConfigError("verifier.parts is empty.", hint="Name at least one verifier.")
        for name, part in self.parts.items():
            check_part(f"parts.{name}", part)

    @property
    def inner(self) -> Mapping[str, Verifier]:
        """The parts, by the name of their field."""
        return {f"parts.{name}": part for name, part in self.parts.items()}

    def identity(self) -> Mapping[str, Any]:
        """The method, and what decides the scores of each part."""
        return {"verifier": self.method, "parts": identities(self.parts)}

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One probability a trajectory.

        Raises:
            VerifierError: A part gives rewards without bounds.
            TTSError: A part failed.
        """
        said = await together(
            [part.score(problem, trajectories, ctx) for part in self.parts.values()]
        )
        names = list(self.parts)
        columns = [
            [chance(f"parts.{name}", score) for score in scores]
            for name, scores in zip(names, said, strict=True)
        ]
        return [
            Score(self._joined(dict(zip(names, line, strict=True))), "probability")
            for line in zip(*columns, strict=True)
        ]

    @abstractmethod
    def _joined(self, chances: Mapping[str, float]) -> float:
        """One probability of those of the parts, by name."""


@dataclass(frozen=True, eq=False)
class Mean(_Combination):
    """The arithmetic mean of the parts' probabilities."""

    method: ClassVar[str] = "mean"

    def _joined(self, chances: Mapping[str, float]) -> float:
        return math.fsum(chances.values()) / len(chances)


@dataclass(frozen=True, eq=False)
class Minimum(_Combination):
    """The least of the parts' probabilities: an answer is as good as its severest judge says."""

    method: ClassVar[str] = "minimum"

    def _joined(self, chances: Mapping[str, float]) -> float:
        return min(chances.values())


@dataclass(frozen=True, eq=False)
class Product(_Combination):
    """The product of the parts' probabilities, as of judges whose errors have nothing in common."""

    method: ClassVar[str] = "product"

    def _joined(self, chances: Mapping[str, float]) -> float:
        return math.prod(chances.values())


@dataclass(frozen=True, eq=False)
class Weighted(_Combination):
    """The weighted mean of the parts' probabilities.

    Args:
        parts: The verifiers, by names of your choice; at least one.
        weights: By the same names, at least 0 and not all 0; only their ratios matter.

    Raises:
        ConfigError: There is no part, one is no verifier, or the weights do not fit.
    """

    weights: Mapping[str, float]

    method: ClassVar[str] = "weighted"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights.keys() != self.parts.keys():
            raise ConfigError(
                f"verifier.weights names {_listed(self.weights)}; the parts are"
                f" {_listed(self.parts)}.",
                hint="Give each part one weight, under its name.",
            )
        for name, weight in self.weights.items():
            if not isinstance(weight, int | float) or not 0 <= weight < math.inf:
                raise ConfigError(
                    f"verifier.weights.{name} is {weight!r}; it must be a number of at least 0."
                )
        if not any(self.weights.values()):
            raise ConfigError("verifier.weights are all 0.", hint="Give some part a weight.")

    def identity(self) -> Mapping[str, Any]:
        """The method, what decides the scores of each part, and the weights that sum to 1."""
        total = math.fsum(self.weights.values())
        shares = {name: self.weights[name] / total for name in self.parts}
        return {**super().identity(), "weights": shares}

    def _joined(self, chances: Mapping[str, float]) -> float:
        total = math.fsum(self.weights.values())
        mean = math.fsum(self.weights[name] * each for name, each in chances.items()) / total
        return min(1.0, mean)  # rounding


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(names) or "none"
