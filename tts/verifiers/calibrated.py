"""A verifier whose scores are turned into the share of such answers that were right.

The curve comes from a file that `tts verifier-report --fit` writes. It belongs to the verifier that
gave the scores and to the model that wrote the answers, and is refused for others. Knows nothing of
how the verifier judges.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from tts._author import Author
from tts.errors import ConfigError, VerifierError
from tts.protocols import Verifier, VerifierContext
from tts.types import ModelInfo, Problem, Scale, Score, Trajectory
from tts.verifiers._composite import Composite, check_part
from tts.verifiers.curves import Isotonic, Platt
from tts.verifiers.fitted import Fitted


class Calibration(Fitted):
    """A curve, and what it belongs to."""

    what: ClassVar[str] = "calibration"
    option: ClassVar[str] = "--fit"

    format: Literal["tts.calibration"] = Field(
        default="tts.calibration", description="What the file is."
    )
    version: Literal[1] = Field(default=1, description="Of the format.")
    verifier: dict[str, Any] = Field(description="Identity of the verifier that gave the scores.")
    scale: Scale = Field(description="Of its scores.")
    curve: Annotated[Isotonic | Platt, Field(discriminator="method")] = Field(
        description="From a raw score to the share of right answers."
    )


class Calibrated(Composite):
    """Another verifier's scores as probabilities that an answer is right.

    Args:
        verifier: Gives the scores, of any scale.
        path: File of the calibration.

    Raises:
        ConfigError: The file cannot be used, or belongs to another verifier.
    """

    def __init__(self, verifier: Verifier, path: str | Path) -> None:
        check_part("verifier", verifier)
        self.verifier = verifier
        self.path = Path(path)
        self.calibration = Calibration.read(path)
        theirs, ours = self.calibration.verifier, json.loads(json.dumps(verifier.identity()))
        if theirs != ours:
            raise ConfigError(
                f"The calibration {path} was fitted on scores of another verifier"
                f" ({_difference(theirs, ours)}).",
                hint="Fit one with this verifier: tts verifier-report RUN verifier=... --fit FILE.",
            )

    @property
    def inner(self) -> Mapping[str, Verifier]:
        """The verifier that gives the scores."""
        return {"verifier": self.verifier}

    def identity(self) -> Mapping[str, Any]:
        """The curve, and what decides the scores."""
        return {
            "verifier": "calibrated",
            "of": dict(self.verifier.identity()),
            "curve": self.calibration.curve.model_dump(mode="json"),
        }

    def check(self, model: ModelInfo, weights: str | None) -> None:
        """Refuse to judge the answers of another model than that of the calibration.

        Args:
            model: Writes the answers.
            weights: Hash of its weights; None if that is unknown.

        Raises:
            ConfigError: It is another one.
        """
        self.calibration.refuse_answers_of(Author.of(model, weights), self.path)
        super().check(model, weights)

    async def score(
        self, problem: Problem, trajectories: Sequence[Trajectory], ctx: VerifierContext
    ) -> list[Score]:
        """One probability a trajectory.

        Raises:
            VerifierError: The scores are on another scale than they were in the fit.
            TTSError: The verifier failed.
        """
        scores = await self.verifier.score(problem, trajectories, ctx)
        for score in scores:
            if score.scale != self.calibration.scale:
                raise VerifierError(
                    f"The scores are of the scale {score.scale}; the calibration {self.path} is"
                    f" for {self.calibration.scale}."
                )
        chances = self.calibration.curve.chances([score.raw for score in scores])
        return [Score(value, "probability") for value in chances]


def _difference(theirs: Mapping[str, Any], ours: Mapping[str, Any], at: str = "") -> str:
    """The first field in which two identities differ, with both values."""
    for name in dict.fromkeys((*theirs, *ours)):
        one, other = theirs.get(name), ours.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            if found := _difference(one, other, f"{at}{name}."):
                return found
        elif one != other:
            return f"its {at}{name} is {one!r}, here it is {other!r}"
    return ""
