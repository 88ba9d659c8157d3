"""Chains cut at a position in their text, with the tokens up to there wherever one ends there."""

from __future__ import annotations

from dataclasses import replace

from tts._metering import MeteredBackend
from tts.types import Request, Trajectory


def cut(meter: MeteredBackend, request: Request, node: Trajectory, characters: int) -> Trajectory:
    """A chain up to a position, with its token ids where one ends there.

    Args:
        meter: May know where the text of each token ends.
        request: Of the chain.
        node: Its end.
        characters: Position in its text.
    """
    piece = node.cut(characters)
    segment, whole = piece.segment, node
    while whole.parent is not None and whole.depth > piece.depth:
        whole = whole.parent
    original = whole.segment
    if segment is None or original is None or segment is original or original.tokens is None:
        return piece
    ends = meter.ends(replace(request, trajectory=whole.parent or whole), original.tokens)
    if len(segment.text) not in ends:
        return piece
    kept = len(ends) - ends[::-1].index(len(segment.text))
    logprobs, tops = original.logprobs, original.top_logprobs
    exact = replace(
        original,
        text=segment.text,
        tokens=original.tokens[:kept],
        logprobs=logprobs and logprobs[:kept],
        top_logprobs=tops and tops[:kept],
    )
    assert whole.parent is not None, "a node with a segment has a parent"
    return replace(piece, segment=exact, clock=min(node.clock, whole.parent.clock + kept))
