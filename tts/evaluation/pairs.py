"""How often two arms disagree on a problem, from what one can guess of them.

Knows probabilities, not outcomes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tts.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Pair:
    """How two arms do on one problem.

    Attributes:
        wins: Chance that only the new arm is right.
        losses: Chance that only the reference is right.
    """

    wins: float
    losses: float

    def __post_init__(self) -> None:
        if min(self.wins, self.losses) < 0 or self.wins + self.losses > 1 + 1e-12:
            raise ConfigError("wins and losses: they are probabilities that add up to at most 1.")

    @property
    def difference(self) -> float:
        """Accuracy of the new arm minus that of the reference."""
        return self.wins - self.losses

    @property
    def discordance(self) -> float:
        """Chance that only one of the two is right."""
        return self.wins + self.losses

    @classmethod
    def correlated(cls, accuracy: float, difference: float, correlation: float) -> Pair:
        """From the correlation of right answers (phi, 0 where the arms know nothing of each other).

        If the two accuracies allow no correlation as strong, the strongest they allow is taken.

        Args:
            accuracy: Of the reference, 0 to 1.
            difference: What the new arm adds; the sum is 0 to 1.
            correlation: -1 to 1.

        Raises:
            ConfigError: An argument is out of range.
        """
        new = _sum(accuracy, difference)
        if not -1 <= correlation <= 1:
            raise ConfigError(f"correlation: {correlation} is not -1 to 1.")
        spread = math.sqrt(accuracy * (1 - accuracy) * new * (1 - new))
        both = accuracy * new + correlation * spread
        both = max(0.0, accuracy + new - 1, min(both, accuracy, new))
        return cls(max(0.0, new - both), max(0.0, accuracy - both))

    @classmethod
    def agreeing(cls, accuracy: float, difference: float, agreement: float) -> Pair:
        """From the share of problems on which both arms are right, or both wrong.

        Args:
            accuracy: Of the reference, 0 to 1.
            difference: What the new arm adds; the sum is 0 to 1.
            agreement: 0 to 1.

        Raises:
            ConfigError: An argument is out of range, or two arms of these accuracies cannot agree
                that much or that little.
        """
        new = _sum(accuracy, difference)
        least, most = abs(accuracy + new - 1), 1 - abs(difference)
        if not least - 1e-9 <= agreement <= most + 1e-9:
            raise ConfigError(
                f"agreement: arms at {accuracy:g} and {new:g} agree on {least:g} to {most:g} of "
                f"the problems, not on {agreement:g}.",
            )
        apart = 1 - agreement
        return cls(max(0.0, (apart + difference) / 2), max(0.0, (apart - difference) / 2))


def _sum(accuracy: float, difference: float) -> float:
    if not 0 <= accuracy <= 1:
        raise ConfigError(f"accuracy: {accuracy:g} is not 0 to 1.")
    new = accuracy + difference
    if not -1e-12 <= new <= 1 + 1e-12:
        raise ConfigError(f"difference: {accuracy:g} and {difference:g} add up to {new:g}.")
    return min(1.0, max(0.0, new))
