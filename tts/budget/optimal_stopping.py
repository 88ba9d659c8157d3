"""Optimal stopping with an imperfect verifier: resample while one more sample is worth its price.

Source: "Inference Scaling fLaws" (Stroebl, Kapoor, Narayanan 2024), their model of resampling:
problems are of types t, each with a prior p_t and a chance r_t that a sample is right; the verifier
accepts a right sample with probability c (completeness) and rejects a wrong one with probability s
(soundness). The first accepted sample is the answer. As samples are rejected, the problem looks
harder: the posterior of t after j of them goes with p_t b_t ** j, b_t = (1 - c) r_t + s (1 - r_t).
What one more is worth follows by backward induction; at zero it is time to abstain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log
from typing import ClassVar

from tts.budget._votes import check_count, check_share
from tts.errors import ConfigError
from tts.protocols import PotView
from tts.types import Candidate, Evidence, Grant, ProblemId, Stop


def utility(
    right: bool,
    answered: bool,
    samples: int,
    *,
    right_value: float,
    wrong_value: float,
    sample_cost: float,
) -> float:
    """What came of a problem, as the user values it.

    Args:
        right: Whether the answer is right.
        answered: Whether there is an answer; to abstain is worth 0.
        samples: How many were drawn.
        right_value: Of a right answer.
        wrong_value: Of a wrong one; negative where it does harm.
        sample_cost: Price of a sample, in the same unit.
    """
    gained = (right_value if right else wrong_value) if answered else 0.0
    return gained - sample_cost * samples


@dataclass(frozen=True)
class OptimalStopping:
    """Grant one sample after another until one is accepted, or one more is worth nothing.

    A sample is accepted if it has an answer and its score reaches `accept`; any other is rejected,
    silent ones included. Made for the strategy `FirstAccepted`, which then abstains.

    Args:
        types: For each type of problem its prior and the chance that a sample is right, all 0 to 1;
            the priors add up to 1.
        right_value: Of a right answer, in any unit.
        wrong_value: Of a wrong one in the same unit; below `right_value`.
        sample_cost: Price of a sample in the same unit, at least 0.
        completeness: Chance that the verifier accepts a right sample, 0 to 1.
        soundness: Chance that it rejects a wrong one, 0 to 1.
        accept: Score at which a sample counts as accepted, on the verifier's scale; the strategy's.
        horizon: Most samples of a problem that are thought of, at least 1.

    Raises:
        ConfigError: A setting lies outside its range.
    """

    types: Sequence[tuple[float, float]] = ((0.5, 0.8), (0.5, 0.2))
    right_value: float = 1.0
    wrong_value: float = -1.0
    sample_cost: float = 0.01
    completeness: float = 0.9
    soundness: float = 0.8
    accept: float = 0.5
    horizon: int = 100
    reads_scores: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for prior, right in self.types:
            check_share("types", prior, 0.5)
            check_share("types", right, 0.5)
        total = sum(prior for prior, _ in self.types)
        if abs(total - 1) > 1e-6:
            raise ConfigError(
                f"controller.types has priors that add up to {total:g} instead of 1.",
                hint="Set controller.types=[[0.5,0.8],[0.5,0.2]]: [prior, chance] for each type.",
            )
        check_share("completeness", self.completeness, 0.9)
        check_share("soundness", self.soundness, 0.8)
        check_count("horizon", self.horizon, 1, 100)
        for name in ("right_value", "wrong_value", "sample_cost", "accept"):
            if not isfinite(getattr(self, name)):
                raise ConfigError(f"controller.{name} is {getattr(self, name)}; it must be finite.")
        if self.sample_cost < 0:
            raise ConfigError(
                f"controller.sample_cost is {self.sample_cost:g}; it must be 0 or more."
            )
        if self.wrong_value >= self.right_value:
            raise ConfigError(
                f"controller.wrong_value is {self.wrong_value:g}, no less than right_value,"
                f" {self.right_value:g}.",
                hint="A wrong answer must be worth less than a right one.",
            )

    def decide(self, evidence: Mapping[ProblemId, Evidence], pot: PotView) -> list[Grant | Stop]:
        """Stop what has been accepted or is worth no further sample; grant the others one.

        Raises:
            ConfigError: Samples come without scores: the strategy asks no verifier.
        """
        return [self._one(problem_id, e.candidates) for problem_id, e in evidence.items()]

    def worth(self, rejected: int) -> float:
        """What going on is worth more than stopping, after so many rejected samples; at least 0.

        Args:
            rejected: At least 0.
        """
        value = 0.0
        for j in reversed(range(rejected, self.horizon)):
            posterior = self.posterior(j)
            survives = sum(q * b for q, b in zip(posterior, self._rejects, strict=True))
            gained = sum(q * g for q, g in zip(posterior, self._gains, strict=True))
            value = max(0.0, gained + survives * value)
        return value

    def expected_utility(self, attempts: int) -> float:
        """What it is worth to resample up to `attempts` times until the first is accepted."""
        return sum(
            prior * sum(b**j for j in range(attempts)) * g
            for (prior, _), b, g in zip(self.types, self._rejects, self._gains, strict=True)
        )

    def posterior(self, rejected: int) -> list[float]:
        """How likely each type is after so many rejected samples; all 0 if that cannot happen."""
        weights = [
            (log(prior) + (rejected * log(b) if b else -inf if rejected else 0.0))
            if prior
            else -inf
            for (prior, _), b in zip(self.types, self._rejects, strict=True)
        ]
        top = max(weights)
        if top == -inf:
            return [0.0 for _ in weights]
        shares = [exp(weight - top) for weight in weights]
        return [share / sum(shares) for share in shares]

    @property
    def _rejects(self) -> list[float]:
        """For each type the chance that a sample is rejected."""
        c, s = self.completeness, self.soundness
        return [min(1.0, max(0.0, (1 - c) * r + s * (1 - r))) for _, r in self.types]

    @property
    def _gains(self) -> list[float]:
        """For each type what one sample brings, its price taken off."""
        c, s = self.completeness, self.soundness
        return [
            self.right_value * c * r + self.wrong_value * (1 - s) * (1 - r) - self.sample_cost
            for _, r in self.types
        ]

    def _one(self, problem_id: ProblemId, candidates: Sequence[Candidate]) -> Grant | Stop:
        for number, candidate in enumerate(candidates, 1):
            if candidate.score is None:
                raise ConfigError(
                    "OptimalStopping was shown a sample without a score.",
                    hint="Choose a strategy that asks a verifier, such as strategy=first_accepted.",
                )
            if candidate.answer and candidate.score.raw >= self.accept:
                score = f"score {candidate.score.raw:.4g} ({self.accept:g} wanted)"
                return Stop(problem_id, f"sample {number} was accepted, {score}")
        rejected = len(candidates)
        worth, chance = self.worth(rejected), self._chance(rejected)
        said = (
            f"going on is worth {worth:.4f} after {rejected} rejected samples;"
            f" chance that the next is right {chance:.3f}"
        )
        return Grant(problem_id, 1, said) if worth > 0 else Stop(problem_id, f"abstain: {said}")

    def _chance(self, rejected: int) -> float:
        return sum(q * r for q, (_, r) in zip(self.posterior(rejected), self.types, strict=True))
