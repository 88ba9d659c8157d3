"""All figures of one finished chain."""

from __future__ import annotations

from dataclasses import dataclass

from tts.analysis.graph import failed_fraction
from tts.analysis.reading import Reader
from tts.analysis.redundancy import agreement, concluded, redundancy, seen
from tts.analysis.tokens import tokens_between
from tts.types import Trajectory


@dataclass(frozen=True, slots=True)
class Portrait:
    """What there is to say of a chain.

    Attributes:
        tokens: Of the thinking part; None if nothing tells.
        steps: Their number.
        reflections: How many of them re-check or change the course.
        first_seen: Place at which the final answer is written for the first time, as a share of
            the chain; None if it never is.
        first_concluded: Place of the first conclusion that equals it, likewise.
        redundant: Share of the chain behind that; None likewise.
        failed: Share of steps that came to nothing.
        agreement: Share of successive conclusions that are equal; None with fewer than two.
    """

    tokens: float | None
    steps: int
    reflections: int
    first_seen: float | None
    first_concluded: float | None
    redundant: float | None
    failed: float
    agreement: float | None


def portrait(
    trajectory: Trajectory, answer: str | None, reader: Reader, rate: float | None = None
) -> Portrait:
    """Measure a chain.

    Args:
        trajectory: The whole answer.
        answer: The final answer that was extracted from it, or None.
        reader: Takes it apart.
        rate: Tokens a character of pieces that do not tell theirs.
    """
    chain = reader.read(trajectory.text, answer)
    first, at = seen(chain), concluded(chain)
    return Portrait(
        tokens=tokens_between(trajectory, chain.start, chain.start + len(chain.text), rate),
        steps=len(chain.steps),
        reflections=chain.reflections,
        first_seen=None if first is None else first / chain.end,
        first_concluded=None if at is None else at / chain.end,
        redundant=redundancy(chain),
        failed=failed_fraction(chain),
        agreement=agreement(chain),
    )
