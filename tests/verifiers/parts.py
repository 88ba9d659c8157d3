"""Verifiers that others are made of, for tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from tts.errors import VerifierError
from tts.types import Capability, Problem, Score, Segment, Trajectory, Usage

PROBLEM = Problem("p", prompt="2+2=")


def node(text, logprobs=None, finish="stop"):
    piece = Segment(text, logprobs=logprobs)
    return Trajectory.root().extend(piece, child=0, clock=len(text), finish=finish)


def raws(scores):
    return [score.raw for score in scores]


@dataclass
class Says:
    """Says of a text what it is told to; free."""

    said: dict[str, float]
    scale: str = "probability"
    name: str = "says"
    requires: frozenset = frozenset()
    partial: bool = True
    judged: list[str] = field(default_factory=list)

    def identity(self):
        return {"verifier": self.name, "said": self.said, "scale": self.scale}

    def bound(self, problem, tokens, ctx):
        return Usage(verifier_calls=1)

    async def score(self, problem, trajectories, ctx):
        self.judged += [t.text for t in trajectories]
        return [Score(self.said[t.text], self.scale) for t in trajectories]


@dataclass
class Loaded:
    """Must be started; reads a token a byte on a model of its own, with log-probabilities."""

    up: bool = False
    starts: int = 0
    ends: int = 0
    requires: frozenset = frozenset({Capability.LOGPROBS})
    partial: bool = False
    top: int = 5
    ready: bool = True

    async def start(self):
        if not self.ready:
            raise VerifierError("The model is not there.")
        self.starts += 1
        self.up = True

    async def aclose(self):
        self.ends += 1
        self.up = False

    def identity(self):
        return {"verifier": "loaded"}

    def bound(self, problem, tokens, ctx):
        return Usage(verifier_calls=1, verifier_tokens=tokens, flops=2.0 * tokens)

    async def score(self, problem, trajectories, ctx):
        assert self.up, "it was not started"
        return [await self._one(t, ctx) for t in trajectories]

    async def _one(self, trajectory, ctx):
        n = len(trajectory.text.encode())
        cost = Usage(verifier_tokens=n, flops=2.0 * n)
        async with ctx.work(cost) as charge:
            charge.settle(cost)
        return Score(1 / (1 + n), "probability")
