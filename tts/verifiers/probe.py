"""A trained probe: how likely an answer is to end right, from how sure the model was of its words.

A logistic regression over figures that cost no token, fitted on a run that kept log-probabilities
(`tts.verifiers.fitting`, `tts verifier-report --fit-probe`). It judges answers at any length, as a
search or a pruning needs it in mid-generation. Source of the idea: Manvi et al. 2024, "Adaptive
Inference-Time Compute", where the model itself is trained to tell; asked without training it hardly
can. Features are ours; the lowest group of tokens is that of Fu et al. 2025 ("Deep Think with
Confidence").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from tts._author import Author
from tts.errors import VerifierError
from tts.protocols import VerifierContext
from tts.types import Capability, ModelInfo, Problem, Score, Trajectory, Usage
from tts.verifiers.fitted import Fitted

FEATURES = ("mean", "lowest", "last", "length", "ended")
"""Mean log-probability (nats) of all tokens, of the group of tokens with the least, and of the last
group; the logarithm of one more than the tokens; and whether the model has ended the answer."""

GROUP = 16
"""Tokens of a group; what is shorter is one group."""


@dataclass(frozen=True, slots=True)
class Written:
    """An answer that is to be learned from.

    Attributes:
        problem: Name of its problem.
        logprobs: Of the model's own tokens (nats); at least one.
        ended: Whether the model ended it.
        right: Whether it is right.
    """

    problem: str
    logprobs: tuple[float, ...]
    ended: bool
    right: bool

    def beginnings(self) -> Iterator[tuple[tuple[float, ...], bool]]:
        """Its first 16, 32, 64, ... tokens, and all of them; and whether it has ended there."""
        size = GROUP
        while size < len(self.logprobs):
            yield self.logprobs[:size], False
            size *= 2
        yield self.logprobs, self.ended


class ProbeFit(Fitted):
    """A fitted probe: the chance is the sigmoid of the weighted features and the offset."""

    what: ClassVar[str] = "probe"
    option: ClassVar[str] = "--fit-probe"

    format: Literal["tts.probe"] = Field(default="tts.probe", description="What the file is.")
    version: Literal[1] = Field(default=1, description="Of the format, and of the features.")
    weights: tuple[float, float, float, float, float] = Field(
        description="Of the features, in the order of `FEATURES`."
    )
    offset: float = Field(allow_inf_nan=False, description="Logit where all features are 0.")

    def chance(self, logprobs: Sequence[float], ended: bool) -> float:
        """The chance that an answer is, or will be, right; 0 for one without a token.

        Args:
            logprobs: Of the model's own tokens so far (nats).
            ended: Whether the model has ended it.
        """
        if not logprobs:
            return 0.0
        found = features(logprobs, ended)
        line = math.fsum([w * x for w, x in zip(self.weights, found, strict=True)]) + self.offset
        return 0.5 * (1 + math.tanh(0.5 * line))


def features(logprobs: Sequence[float], ended: bool) -> tuple[float, ...]:
    """The figures of an answer, in the order of `FEATURES`.

    Args:
        logprobs: Of the model's own tokens so far (nats), at least one.
        ended: Whether the model has ended it.
    """
    n = len(logprobs)
    size = min(GROUP, n)
    sums = list(accumulate(logprobs, initial=0.0))
    groups = [(sums[end] - sums[end - size]) / size for end in range(size, n + 1)]
    return sums[-1] / n, min(groups), groups[-1], math.log1p(n), float(ended)


class Probe:
    """The chance that an answer is, or will be, right, by a probe that was fitted before.

    Args:
        path: File of the probe.

    Raises:
        ConfigError: The file cannot be used.
    """

    requires: frozenset[Capability] = frozenset({Capability.LOGPROBS})
    partial: bool = True

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.fit = ProbeFit.read(path)

    def identity(self) -> Mapping[str, Any]:
        """Its weights; whose answers they were fitted on is checked apart."""
        return {"verifier": "probe", "weights": list(self.fit.weights), "offset": self.fit.offset}

    def check(self, model: ModelInfo, weights: str | None) -> None:
        """Refuse to judge the answers of another model than that of the fit.

        Args:
            model: Writes the answers.
            weights: Hash of its weights; None if that is unknown.

        Raises:
            ConfigError: It is another one.
        """
        self.fit.refuse_answers_of(Author.of(model, weights), self.path)

    def bound(self, problem: Problem, tokens: int, ctx: VerifierContext) -> Usage:
        """A call, and nothing else."""
        return Usage(verifier_calls=1)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One probability a trajectory; 0 for one without a token.

        Raises:
            VerifierError: A trajectory came without log-probabilities.
        """
        return [self._one(trajectory) for trajectory in trajectories]

    def _one(self, trajectory: Trajectory) -> Score:
        logprobs = trajectory.logprobs
        if logprobs is None:
            raise VerifierError("Probe needs log-probabilities, and the answer has none.")
        return Score(self.fit.chance(logprobs, trajectory.finish == "stop"), "probability")
