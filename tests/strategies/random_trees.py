"""Random trees of answers for laws of tree searches: few texts, so that copies and ties occur."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tts.backends.simulated import SimulatedBackend, Step
from tts.seeds import derive
from tts.strategies import Stepper
from tts.testing import LengthVerifier
from tts.types import Score, Segment, Trajectory

ROOT = Trajectory.root()
ANY_LENGTH = Stepper(last="")
"""Only the model ends an answer."""


@dataclass(frozen=True)
class RandomTree:
    """A world that its seed makes. Whether an answer has ended cannot be told from its text.

    Attributes:
        seed: Makes it.
        kinds: How many different steps there are.
        levels: How many different scores there are.
        ending: Probability that a step ends the answer, 0 to 1.
    """

    seed: int = 0
    kinds: int = 1 << 30
    levels: int = 1 << 30
    ending: float = 0.2

    def backend(self):
        return SimulatedBackend(self._simulate)

    def verifier(self):
        return _Fixed(tree=self)

    def score(self, text):
        return random.Random(derive(self.seed, "score", text)).randrange(self.levels) / self.levels

    def _simulate(self, problem, node, seed):
        rng = random.Random(derive(self.seed, seed, node.text))
        kind, tokens = rng.randrange(self.kinds), rng.randint(1, 9)
        return Step(f"\\boxed{{{kind}}}\n\n", tokens, rng.random() < self.ending)


@dataclass(frozen=True)
class _Fixed(LengthVerifier):
    tree: RandomTree = RandomTree()

    async def score(self, problem, trajectories, ctx):
        return [Score(self.tree.score(t.text), "probability") for t in trajectories]


class Drawn:
    """What a search has drawn, to be taken out by child number until nothing is left."""

    def __init__(self, result):
        self._nodes = {node.key: node for node in result.tree}
        assert len(self._nodes) == len(result.tree)

    def take(self, parent, number):
        return self._nodes.pop(parent.extend(Segment(""), child=number, clock=0).key)

    def __bool__(self):
        return bool(self._nodes)
