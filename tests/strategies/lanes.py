"""Races on simulated models: answers of given lengths, and of normally distributed ones."""

from __future__ import annotations

import random
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

import tts
from tts.backends.simulated import SimulatedBackend, Step, VirtualClock
from tts.seeds import derive
from tts.types import Problem

PROBLEM = Problem("race", prompt="Who is first?")


@dataclass(frozen=True)
class Lane:
    """One answer: `length` tokens, `seconds` for each, and what its last one says.

    With `mark`, that token ends a thinking part.
    """

    length: int
    says: str = "\\boxed{1}"
    seconds: float = 1.0
    mark: int = 0


def track(*lanes: Lane) -> SimulatedBackend:
    """A backend whose `i`-th answer to `PROBLEM` is `lanes[i]`, written token by token."""
    numbers = {derive(0, PROBLEM.id, 0, "", number): number for number in range(len(lanes))}

    def simulate(problem, node, seed):
        written = len(node.segment.logprobs) if node.segment else 0
        number = int(node.text.split(":")[0]) if written else numbers[seed]
        lane, place = lanes[number], written + 1
        text = "." if written else f"{number}:"
        text += "</think>" * (place == lane.mark) + lane.says * (place == lane.length)
        return Step(text, 1, place == lane.length, lane.seconds)

    return SimulatedBackend(simulate, clock=VirtualClock())


async def race(strategy, *lanes: Lane, **options):
    """The strategy's result on such answers, and the backend."""
    backend = track(*lanes)
    options = {"max_tokens": 100, **options}
    return await tts.solve(PROBLEM, strategy=strategy, backend=backend, **options), backend


@dataclass(frozen=True)
class Lengths:
    """Right answers with probability `p`; lengths normal, (mean, deviation) in tokens."""

    p: float
    right: tuple[float, float]
    wrong: tuple[float, float]

    SHIFT = 100  # added to all lengths, so that none is below a token; orders do not change

    def __call__(self, problem, node, seed):
        """What a model of this kind writes."""
        rng = random.Random(seed)
        right = rng.random() < self.p
        length = round(rng.gauss(*(self.right if right else self.wrong))) + self.SHIFT
        return Step(f"\\boxed{{{int(right)}}}", length)

    def accuracy(self, n: int, *, longest: bool = False) -> float:
        """Probability that the shortest (or longest) of `n` answers is right.

        The right share of a length, weighted with the probability that the extreme of `n` draws is
        there; a tie is between equals.
        """
        at = np.arange(-self.SHIFT, 1000)
        right, wrong = (
            norm.cdf(at + 0.5, *model) - norm.cdf(at - 0.5, *model)
            for model in (self.right, self.wrong)
        )
        share = self.p * right
        total = share + (1 - self.p) * wrong
        beyond = np.cumsum(total) if longest else np.cumsum(total[::-1])[::-1]
        inside = beyond - total
        extreme = beyond.clip(0, 1) ** n - inside.clip(0, 1) ** n
        return float(np.sum(extreme * np.divide(share, total, where=total > 0, out=0 * total)))

    async def found(self, strategy, problems: int) -> int:
        """How many of so many problems a strategy gets right."""
        asked = [Problem(f"p{i}", prompt="?") for i in range(problems)]
        backend = SimulatedBackend(self, settings={"p": self.p})
        right = 0
        async with aclosing(
            tts.solve_all(asked, strategy=strategy, backend=backend, max_tokens=1100)
        ) as results:
            async for result in results:
                right += result.answer == "1"
        return right
