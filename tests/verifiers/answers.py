"""Answers and a verifier's surroundings, for tests."""

from __future__ import annotations

from tts._environment import Context
from tts._metering import Account, MeteredBackend
from tts.budget import Budget
from tts.budget.pot import Pot
from tts.tasks import MathAnswers
from tts.testing import World
from tts.types import Problem, Segment, Trajectory

SUM = Problem.chat("sum", "47+6*8-29=")
STEPS = ("6*8=48 => 47+48-29\n\n", "48-29=19 => 47+19\n\n", "47+19=66\n\n", "\\boxed{66}")


def answer(*pieces, text=None):
    """An answer in several pieces; with a tokenizer they carry their ids."""
    node = Trajectory.root()
    for piece in pieces:
        ids = None if text is None else tuple(text.ids_of(piece))
        segment = Segment(piece, ids, None if text is None else text.identity)
        node = node.extend(segment, child=0, clock=node.clock + len(piece))
    return node


def surroundings(**budget):
    """What a verifier may touch, with its account: a pot of these limits, and a simulated model."""
    pot = Pot(Budget.model_validate(budget))
    meter = MeteredBackend(World().backend(), pot, Account("p", None), verifying=True)
    return Context(meter, MathAnswers(), 0, ("p", 0))
