"""Finite trees in which every answer and score is known, and searches of them without a model."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tts.errors import BackendError
from tts.strategies._frontier import Child, Drop, Expand, Finish
from tts.types import Answer, Candidate, Score, Segment


@dataclass(frozen=True)
class Tree:
    """What comes of a step is a function of the text before it and the number of the draw.

    Scores are multiples of 1/8, so that ties are frequent and sums exact.
    """

    seed: int
    depth: int = 4
    copies: int = 1  # draws with the same outcome

    def child(self, step: Expand) -> Child:
        text = f"{step.node.text}{step.child // self.copies}."
        rng = random.Random(f"{self.seed} {text}")
        score, tokens = Score(rng.randint(0, 8) / 8, "probability"), rng.randint(1, 9)
        fate = rng.random()
        ended = fate < 0.25 or step.depth == self.depth
        node = step.node.extend(
            Segment(text[len(step.node.text) :]),
            child=step.child,
            clock=step.node.clock + tokens,
            finish="stop" if ended else "step",
        ).scored(score)
        if ended:
            answer = None if fate < 0.05 else Answer(text, text)
            return Child(node, open=False, ended=Candidate(node, answer))
        return Child(node, open=fate < 0.9)


def drive(policy, tree, slots, rng, faults=0.0, order=()):
    """Search a tree as the driver does, with faults at random, and arrivals too or in `order`.

    Returns:
        The names of the steps in the order in which they were told, and those that were dropped.
    """
    flying, told, dropped = [], [], []
    while True:
        for action in policy.ask(slots - len(flying)):
            match action:
                case Finish():
                    return told, dropped
                case Drop(step):
                    flying.remove(step)
                    dropped.append(step.name)
                case Expand():
                    assert action not in flying
                    flying.append(action)
        assert 0 < len(flying) <= slots, "stuck, or more than there are slots"
        due = [s for s in flying if s.name == order[len(told)]] if order else flying
        step = rng.choice(due)
        flying.remove(step)
        if rng.random() < faults:
            policy.tell(step, BackendError("The cable is out."))
        else:
            told.append(step.name)
            policy.tell(step, tree.child(step))
