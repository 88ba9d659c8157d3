"""How surprising the first token of each step is, and which steps to drop by it.

A step whose first token was to be expected adds little. Source: Zeng et al. 2025, "Pruning the
Unsurprising: Efficient Code Reasoning via First-Token Surprisal" (ASAP), its second stage: steps
are dropped by rising surprisal until the rest fits. Its first stage, in which a large model prunes
against a direct solution, is not here.

Needs log-probabilities (`keep=tokens`), and somebody who knows where the text of a token ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from tts.analysis.reading import Chain
from tts.errors import CapabilityMissing
from tts.protocols import KnowsEnds
from tts.types import Problem, Request, Trajectory

Ends = Callable[[Trajectory], Sequence[int]]
"""Where the text of a node's own segment ends after each of its tokens, in characters of it."""


def ends_by(backend: KnowsEnds, problem: Problem) -> Ends:
    """What a backend says of the answers to a problem; nothing is asked of its model."""

    def ends(node: Trajectory) -> Sequence[int]:
        assert node.parent is not None and node.segment is not None
        if node.segment.tokens is None:
            raise CapabilityMissing(
                "First-token surprisal needs token ids, and a piece has none.",
                hint="Run with keep=tokens on a backend that gives them.",
            )
        return backend.ends(Request(problem, node.parent), node.segment.tokens)

    return ends


def surprisals(chain: Chain, trajectory: Trajectory, ends: Ends) -> tuple[float | None, ...]:
    """Surprisal (nats) of the token in which each step begins, -log p(token | what came before).

    Args:
        chain: As read from the trajectory.
        trajectory: With log-probabilities.
        ends: See there; asked of the nodes that have log-probabilities.

    Returns:
        One a step; None where the token's log-probability is not known, as in injected text.
    """
    stops, values = _track(trajectory, ends)
    return tuple(values[bisect_right(stops, chain.start + step.start)] for step in chain.steps)


def _track(trajectory: Trajectory, ends: Ends) -> tuple[list[int], list[float | None]]:
    """Where the text ends after each token, and the surprisal of each."""
    stops: list[int] = []
    values: list[float | None] = []
    at = 0
    for node in trajectory.nodes():
        segment = node.segment
        assert segment is not None
        if segment.logprobs is None:
            stops.append(at + len(segment.text))
            values.append(None)
        else:
            stops.extend(at + end for end in ends(node))
            values.extend(-logprob for logprob in segment.logprobs)
        at += len(segment.text)
    return stops, values


def pruning_order(values: Sequence[float | None]) -> list[int]:
    """The numbers of the steps in the order in which they are dropped.

    Least surprising first, of equal ones the later first. Steps of unknown surprisal stay.
    """
    known = [(value, -number) for number, value in enumerate(values) if value is not None]
    return [-number for _, number in sorted(known)]


def pruned(values: Sequence[float | None], sizes: Sequence[float], limit: float) -> tuple[int, ...]:
    """The numbers of the steps that are left when the chain is to fit a limit.

    Args:
        values: Surprisal of each step.
        sizes: Length of each, at least 0, in whatever unit.
        limit: Most that the rest may have in all. Steps of unknown surprisal stay even so.
    """
    left = dict(enumerate(sizes))
    for number in pruning_order(values):
        if sum(left.values()) <= limit:
            break
        del left[number]
    return tuple(left)
