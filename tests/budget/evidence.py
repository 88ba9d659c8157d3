"""Evidence for controllers, made by hand."""

from __future__ import annotations

from tts.budget import Budget, Pot
from tts.types import Answer, Candidate, Evidence, Score, Trajectory

POT = Pot(Budget())


def sample(key=None, score=None):
    node = Trajectory.root() if score is None else Trajectory.root().scored(Score(score, "reward"))
    return Candidate(node, None if key is None else Answer(key, key))


def candidates(**votes):
    return tuple(sample(key) for key, n in votes.items() for _ in range(n))


def samples(text):
    """`aab.` is two votes for a, one for b, and a silent sample."""
    return tuple(sample(None if letter == "." else letter) for letter in text)


def decide(controller, shown, wants=10):
    (decision,) = controller.decide({"p": Evidence(tuple(shown), wants)}, POT)
    return decision
