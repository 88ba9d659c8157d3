"""What a quantised checkpoint is worth: a card of figures, `card.json` in its folder.

Knows no engine and no runs: it is given outcomes and readings. The claim is non-inferiority by two
points, fixed here and not by whoever looks at the outcome; its rules are those of
`tts.evaluation.claims`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from tts.evaluation.claims import Claim, Verdict
from tts.evaluation.statistics import Interval, Outcomes, accuracy
from tts.quantize.readings import Reading, divergence, perplexity

MARGIN = 0.02
"""Of the claim that accuracy is not inferior: a share, two points."""

Range = tuple[float, float]


class Calibration(BaseModel):
    """The data that weights were rounded with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(description="Task or file.")
    samples: int = Field(description="Prompts with answers, or texts.")
    answered: int = Field(description="Samples whose answer the full model has written itself.")
    tokens: int = Field(description="Of all samples, prompts included.")
    left_out: int = Field(default=0, description="Dropped, as the evaluation asks them.")


class Measured(BaseModel):
    """What the full and the quantised model do on the same problems."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    perplexity_before: float | None = Field(default=None, description="Of the full model.")
    perplexity_after: float | None = Field(default=None, description="Of the quantised one.")
    perplexity_tokens: int = Field(default=0, description="Tokens of the answers that were read.")
    divergence: float | None = Field(
        default=None, description="Nats a token by which the full model's answers are less likely."
    )
    divergence_interval: Range | None = Field(default=None, description="Its 95% interval.")
    accuracy_before: float | None = Field(default=None, description="Of the full model, 0 to 1.")
    accuracy_before_interval: Range | None = Field(default=None, description="Its 95% interval.")
    accuracy_after: float | None = Field(default=None, description="Of the quantised one, 0 to 1.")
    accuracy_after_interval: Range | None = Field(default=None, description="Its 95% interval.")
    n_problems: int = Field(default=0, description="Problems that both have ended.")
    difference: float | None = Field(default=None, description="Accuracy after less before.")
    interval: Range | None = Field(default=None, description="Its 95% interval, paired.")
    verdict: Verdict | None = Field(
        default=None, description="On non-inferiority by the margin; null if it was not measured."
    )

    @classmethod
    def of(
        cls, before: tuple[Outcomes, Sequence[Reading]], after: tuple[Outcomes, Sequence[Reading]]
    ) -> Measured:
        """Compare.

        Args:
            before: Outcomes by problem of the full model, and what it thinks of its own answers.
            after: Likewise of the quantised one, of the same answers.

        Raises:
            ConfigError: They share no problem, or have not read the same.
        """
        claim = Claim.of(
            after[0],
            before[0],
            what="quantised against full",
            on="",
            kind="non-inferiority",
            margin=MARGIN,
            command="",
        )
        apart = divergence(before[1], after[1])
        full, quantised = accuracy(before[0]), accuracy(after[0])
        assert full is not None and quantised is not None  # the claim has found shared problems
        return cls(
            perplexity_before=perplexity(before[1]),
            perplexity_after=perplexity(after[1]),
            perplexity_tokens=sum(r.tokens for r in before[1]),
            divergence=apart.mean,
            divergence_interval=_range(apart),
            accuracy_before=full.mean,
            accuracy_before_interval=_range(full),
            accuracy_after=quantised.mean,
            accuracy_after_interval=_range(quantised),
            n_problems=claim.n_problems,
            difference=claim.interval.mean,
            interval=_range(claim.interval),
            verdict=claim.verdict,
        )


def _range(interval: Interval) -> Range:
    return interval.low, interval.high


class Card(Measured):
    """All that is known of a quantised checkpoint; `card.json`."""

    scheme: str = Field(description="Its name.")
    model: str = Field(description="The full model, as the user named it.")
    method: str = Field(description="How weights were rounded: rtn, gptq or awq.")
    group: int = Field(description="Weights that share a scale; 0 for all of an output channel.")
    smooth: float = Field(default=0.0, description="Strength of SmoothQuant, 0 to 1.")
    narrow: bool = Field(default=False, description="Whether 8-bit weights use 7 bits.")
    layers: int = Field(description="Layers that were quantised.")
    calibration: Calibration | None = Field(description="Null if it was made without data.")
    margin: float = Field(default=MARGIN, description="Of the claim, in accuracy.")
    task: str = Field(default="", description="Whose problems were solved.")
    how: str = Field(default="", description="How they were solved: strategy and sampling.")
    measured_on: str = Field(description="What was measured, and where; or why nothing was.")
    evaluation: str = Field(default="", description="Hash of all that decides the measurement.")
    seed: int = Field(description="Of every draw.")
    bytes_before: int = Field(description="Of the full model's weight files.")
    bytes_after: int = Field(description="Of the quantised ones.")
    versions: dict[str, str] = Field(description="Of what has made and measured it.")
    command: str = Field(description="What makes it again.")
