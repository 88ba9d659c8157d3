"""Dirichlet stopping: end self-consistency when the leading answer is safe from all its rivals.

Source: adaptive-consistency (Aggarwal et al. 2023), the Dirichlet criterion: with a uniform prior
over the shares of the answers seen, the chance that the leading answer's true share is the largest.
Their code integrates by Monte Carlo; here the integral is exact. Gamma variables with whole shapes
make it a finite sum of fractions, by inclusion and exclusion over the rivals that are ahead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import comb

from tts.budget._votes import Verdict, Votes, check_count, check_inside, decided
from tts.protocols import PotView
from tts.types import Evidence, Grant, ProblemId, Stop


@lru_cache(maxsize=1 << 16)
def leading_probability(counts: tuple[int, ...]) -> float:
    """P(x_1 is the largest) for x ~ Dirichlet(counts + 1).

    With two counts this is `lead_probability` of the Beta criterion; with one it is 1.

    Args:
        counts: Votes of each answer, each at least 0; the first is that of the answer in question.

    Returns:
        A probability, exact up to rounding. Time grows with the square of the votes.
    """
    lead, *rivals = (count + 1 for count in counts)
    # A gamma variable exceeds x with probability exp(-x) * (sum of x ** j / j! for j < shape).
    # ahead[m] is the sum, over all sets of m rivals, of the products of those polynomials.
    ahead: list[list[int]] = [[1]]
    for shape in rivals:
        joined = [_product(polynomial, shape) for polynomial in ahead]
        ahead = [_sum(a, b) for a, b in zip([*ahead, []], [[], *joined], strict=True)]
    total = Fraction(0)
    for m, polynomial in enumerate(ahead):
        size = len(polynomial)
        numerator = sum(
            value * comb(n + lead - 1, n) * (m + 1) ** (size - n)
            for n, value in enumerate(polynomial)
        )
        total += (-1) ** m * Fraction(numerator, (m + 1) ** (size + lead))
    return float(total)


def _product(polynomial: Sequence[int], shape: int) -> list[int]:
    """Times sum of x ** j / j! for j below `shape`; coefficients are those of x ** n / n!."""
    size = len(polynomial) + shape - 1
    return [
        sum(
            comb(n, j) * polynomial[n - j]
            for j in range(max(0, n - len(polynomial) + 1), min(shape, n + 1))
        )
        for n in range(size)
    ]


def _sum(a: Sequence[int], b: Sequence[int]) -> list[int]:
    size = max(len(a), len(b))
    padded = ([*x, *([0] * (size - len(x)))] for x in (a, b))
    return [sum(pair) for pair in zip(*padded, strict=True)]


@dataclass(frozen=True)
class DirichletStopping:
    """Grant samples in small batches until the leading answer is safe from all rivals.

    With fewer than three answers it is the Beta criterion.

    Args:
        threshold: Stop when `leading_probability` reaches it; above 0.5 and below 1.
        top: How many of the leading answers are looked at, at least 2.
        batch: Samples to grant at a time, at least 1.

    Raises:
        ConfigError: A setting lies outside its range.
    """

    threshold: float = 0.95
    top: int = 5
    batch: int = 4

    def __post_init__(self) -> None:
        check_inside("threshold", self.threshold, 0.5, 1, 0.95)
        check_count("top", self.top, 2, 5)
        check_count("batch", self.batch, 1, 4)

    def decide(self, evidence: Mapping[ProblemId, Evidence], pot: PotView) -> list[Grant | Stop]:
        """Stop the problems whose leading answer is safe; grant the others a batch."""
        return decided(evidence, self._judge)

    def _judge(self, votes: Votes) -> Verdict:
        if not votes.keys:
            return Verdict(False, str(votes), self.batch)
        counts = votes.counts[: self.top]
        safety = leading_probability(counts if len(counts) > 1 else (*counts, 0))
        stop = safety >= self.threshold
        word = "is safe" if stop else "is not safe"
        reason = f"the lead {word} at {safety:.4f} ({self.threshold:g} wanted); {votes}"
        return Verdict(stop, reason, self.batch)
