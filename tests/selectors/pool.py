"""Candidates for selectors, made of what each of them is to tell."""

from __future__ import annotations

import asyncio
import math

from tts.testing import FreeContext, World
from tts.types import Answer, Candidate, Problem, Score, Segment, Trajectory

PROBLEM = Problem("p", prompt="x")
NONE = -math.inf


def candidate(answer, text=None, *, p=None, top=None, score=None, scale="probability"):
    """One with an answer, a text, the probability of each of its tokens, a score."""
    logprobs = None if p is None else (math.log(p) if p else NONE,) * 3
    tops = None if top is None else (top,) * 3
    segment = Segment(str(answer) if text is None else text, logprobs=logprobs, top_logprobs=tops)
    node = Trajectory.root().extend(segment, child=0, clock=1)
    if score is not None:
        node = node.scored(Score(score, scale))
    return Candidate(node, None if answer is None else Answer(answer, answer))


def weigh(selector, candidates):
    return asyncio.run(selector.weigh(PROBLEM, candidates, FreeContext(World().backend())))
