"""How likely a model finds given answers: perplexity, and how far two models are apart.

The answers are drawn at temperature 1 from the full model. Then what the quantised model finds them
less likely, by token, is an unbiased estimate of the Kullback-Leibler divergence of the full
model's distribution from its own: zero if nothing has changed, whatever the text.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tts.errors import ConfigError
from tts.evaluation.statistics import Interval
from tts.protocols import Backend, Reads
from tts.types import Problem, Trajectory

Answers = Sequence[tuple[Problem, Trajectory]]


class Reader(Backend, Reads, Protocol):
    """A backend that reads."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model thinks of one answer.

    Attributes:
        logprob: Of the whole answer, in nats, at temperature 1.
        tokens: Of the answer, at least 1.
    """

    logprob: float
    tokens: int


async def read_all(backend: Reads, answers: Answers, concurrency: int) -> list[Reading]:
    """Have a model read answers.

    Args:
        backend: Reads; started.
        answers: Each behind its problem, not empty.
        concurrency: Most at a time, at least 1.

    Returns:
        One each, in the same order.
    """
    free = asyncio.Semaphore(concurrency)

    async def one(problem: Problem, answer: Trajectory) -> Reading:
        (segment,) = answer.segments()
        async with free:
            read, _ = await backend.read(problem, Trajectory.root(), segment)
        found = read.logprobs or ()
        return Reading(math.fsum(found), len(found))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(*pair)) for pair in answers]
    return [task.result() for task in tasks]


def perplexity(readings: Sequence[Reading]) -> float:
    """The exponential of the mean negative log-likelihood of a token.

    Args:
        readings: At least one.
    """
    return math.exp(-math.fsum(r.logprob for r in readings) / sum(r.tokens for r in readings))


def divergence(
    full: Sequence[Reading], quantised: Sequence[Reading], *, level: float = 0.95
) -> Interval:
    """How much less likely, by token, the quantised model finds the full one's answers.

    The ratio of the summed differences to the number of tokens, with the t-interval of a ratio of
    means, its variance linearised over the answers (Cochran 1977, 6.3).

    Args:
        full: What the full model thinks of its answers, at least two.
        quantised: What the quantised one thinks of the same.
        level: Coverage, above 0 and below 1.

    Returns:
        In nats a token.

    Raises:
        ConfigError: The two have not read the same.
    """
    from scipy.stats import t  # takes a second to import

    if [r.tokens for r in full] != [r.tokens for r in quantised]:
        raise ConfigError("The full and the quantised model have not read the same tokens.")
    n, tokens = len(full), sum(r.tokens for r in full)
    lost = [a.logprob - b.logprob for a, b in zip(full, quantised, strict=True)]
    ratio = math.fsum(lost) / tokens
    rest = (d - ratio * r.tokens for d, r in zip(lost, full, strict=True))
    spread = math.sqrt(math.fsum(e * e for e in rest) / (n - 1) * n) / tokens
    half = float(t.ppf((1 + level) / 2, n - 1)) * spread
    return Interval(ratio, ratio - half, ratio + half)


def as_json(readings: Sequence[Reading]) -> list[tuple[float, int]]:
    """In JSON types."""
    return [(r.logprob, r.tokens) for r in readings]


def from_json(rows: Sequence[Sequence[float]]) -> list[Reading]:
    """What `as_json` wrote."""
    return [Reading(logprob, int(tokens)) for logprob, tokens in rows]
