"""A simulated model whose tokens can be counted in its text, and how it is asked."""

from __future__ import annotations

import random
from dataclasses import replace

from tts.backends.simulated import SimulatedBackend, Step
from tts.seeds import derive
from tts.types import Problem, Request, Sampling, Trajectory, Usage

GREEDY = Sampling(temperature=0.0)
PROBLEM = Problem("p", prompt="12+7*3=")
LETTERS = 40  # tokens of an answer of `letters`


def letters(problem, node, seed):
    """A token a letter, drawn from the position and the seed; continued wherever it was cut."""
    rng = random.Random(derive(seed, len(node.text)))
    left = LETTERS - len(node.text)
    size = min(left, rng.randint(1, 12))
    text = "".join(rng.choice("abcdefgh") for _ in range(size))
    return Step(text, size, final=size == left)


class Cut(SimulatedBackend):
    """The letters of `letters`, with a count of what it was asked."""

    def __init__(self, **how) -> None:
        super().__init__(letters, **how)
        self.asked: list[Request] = []
        self.starts = 0

    async def start(self) -> None:
        self.starts += 1

    def open(self, request):
        self.asked.append(request)
        return super().open(request)


def ask(**how) -> Request:
    return Request(PROBLEM, how.pop("trajectory", Trajectory.root()), **{"seed": 1, **how})


async def decode(backend, request, leave: int | None = None):
    """The stream and its chunks, left after so many of them."""
    chunks = []
    async with backend.open(request) as stream:
        if leave != 0:
            async for chunk in stream:
                chunks.append(chunk)
                if len(chunks) == leave:
                    break
    return stream, chunks


def nominal(usage: Usage) -> Usage:
    """A cost without where it came from, and how long that took."""
    return replace(usage, replayed_tokens=0, seconds=0.0, usd=round(usage.usd, 9))
