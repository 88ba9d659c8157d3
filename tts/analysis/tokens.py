"""How many tokens a stretch of an answer has.

Pieces with token ids or log-probabilities tell their number; inside a piece it is apportioned by
characters. Pieces that tell nothing (text alone, text that was injected) have so many tokens a
character as the caller says, or as the other pieces have. The logical clock of a node is no help:
it holds what had to be waited for as well.
"""

from __future__ import annotations

from tts.analysis.reading import thinking_part
from tts.types import Segment, Trajectory
from tts.watching import Thinking


def thinking_tokens(
    trajectory: Trajectory, thinking: Thinking, rate: float | None = None
) -> float | None:
    """Tokens of the thinking part; see `tokens_between`."""
    start, end, _ = thinking_part(trajectory.text, thinking)
    return tokens_between(trajectory, start, end, rate)


def tokens_between(
    trajectory: Trajectory, start: int, end: int, rate: float | None = None
) -> float | None:
    """Tokens between two positions of an answer.

    Args:
        trajectory: The answer.
        start: In characters.
        end: In characters, at least `start`.
        rate: Tokens a character of pieces that do not tell; None for that of the other pieces.

    Returns:
        None if nothing tells.
    """
    pieces = [(len(segment.text), _count(segment)) for segment in trajectory.segments()]
    told = [(size, count) for size, count in pieces if count is not None and size]
    if rate is None and told:
        rate = sum(count for _, count in told) / sum(size for size, _ in told)
    total, at = 0.0, 0
    for size, count in pieces:
        inside = max(0, min(end, at + size) - max(start, at))
        at += size
        if inside and count is None and rate is None:
            return None
        if inside:
            total += inside * (rate or 0.0) if count is None else count * inside / size
    return total


def _count(segment: Segment) -> int | None:
    kept = segment.tokens if segment.tokens is not None else segment.logprobs
    return None if kept is None else len(kept)
