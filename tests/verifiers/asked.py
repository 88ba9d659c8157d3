"""A judge whose replies a function decides, and candidates for selectors."""

from __future__ import annotations

import math

from tts.backends.simulated import SimulatedBackend, Step
from tts.testing import FreeContext
from tts.types import Answer, Candidate, Problem, Score, Segment, Trajectory

CHAT = Problem.chat("p", "What is 1+1?", system="Be brief.")
PLAIN = Problem("p", prompt="1+1=")
WORDS = {7: "7", 8: " 8", 9: "I", 10: "10", 11: "²", 12: " A", 13: "B", 14: " yes", 15: "No"}


def answer(text):
    return Trajectory.root().extend(Segment(text), child=0, clock=len(text))


def candidate(text, result, score=None):
    """Somebody's work with its answer, and a score if there is one."""
    node = answer(text)
    if score is not None:
        node = node.scored(Score(score, "probability"))
    return Candidate(node, None if result is None else Answer(result, result))


def logs(**chances):
    """The likeliest tokens by their words, such as A=0.6."""
    ids = {word.strip(): token for token, word in WORDS.items()}
    return {ids[word.removeprefix("_")]: math.log(p) for word, p in chances.items()}


class Teacher:
    """Replies as `says(text of all that is asked, seed)` decides, and remembers what was asked.

    What is said is a text, or the likeliest tokens, of which the first one is said.
    """

    def __init__(self, says, words=WORDS):
        self.says, self.words, self.asked = says, words, []
        self.backend = SimulatedBackend(self._simulate, words=words)

    @property
    def context(self):
        return FreeContext(self.backend)

    def _simulate(self, problem, node, seed):
        self.asked.append((problem, node))
        turns = "\n".join(message.content for message in problem.messages)
        said = self.says(f"{problem.prompt}{turns}\n{node.text}", seed)
        if isinstance(said, str):
            return Step(said, 1)
        likeliest = max(said, key=said.get, default=0)
        return Step(self.words.get(likeliest, "?"), 1, top_logprobs=said)
