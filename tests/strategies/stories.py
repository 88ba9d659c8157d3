"""Stories: simulated answers whose steps go on from wherever they were cut."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.seeds import derive
from tts.testing import LengthVerifier
from tts.types import ModelInfo, Score

HEAD = 6
PARAMS = 1000


@dataclass
class Story:
    """A world of one character a token, whose steps go on from wherever they were cut.

    Attributes:
        lengths: Tokens of each step, the last of which ends the answer.
        seconds: Virtual time that a decode takes.
        busy: Open streams at the start of each decode, of new steps and of rests.
    """

    lengths: list[int]
    seconds: float = 0.0
    busy: dict[bool, list[int]] = field(default_factory=lambda: {True: [], False: []})

    def __post_init__(self):
        info = ModelInfo("story", active_params=PARAMS)
        self.backend = SimulatedBackend(self._simulate, info, VirtualClock())

    def _simulate(self, problem, node, seed):
        begun = node.text.split("\n\n")[-1]
        self.busy[not begun].append(self.backend.open_streams)
        rng = random.Random(seed)
        head = (begun + "".join(rng.choices("abcdefghij", k=HEAD)))[:HEAD]
        number = node.text.count("\n\n")
        last = number == len(self.lengths) - 1
        end = f"\\boxed{{{seed % 10}}}" if last else "\n\n"
        whole = head + "." * (self.lengths[number] - HEAD - len(end)) + end
        rest = whole[len(begun) :]
        return Step(rest, len(rest), last, self.seconds)


@dataclass(frozen=True)
class ByHeads(LengthVerifier):
    """A score of what the steps begin with: cut or whole, a step has the same."""

    judged: list = field(default_factory=list)

    async def score(self, problem, trajectories, ctx):
        self.judged.extend(t.text for t in trajectories)
        return [Score(by_heads(t.text), "probability") for t in trajectories]


def by_heads(text):
    return random.Random(derive(*(step[:HEAD] for step in text.split("\n\n")))).random()
