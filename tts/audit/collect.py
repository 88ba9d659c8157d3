"""Texts to audit, and what a reference makes of them: through the protocols of backends alone.

A candidate is asked for answers like any backend; it may be a server that gives texts only. The
reference reads (`Reads`), and makes the noise of draws again if it can (`KnowsNoise`). It is used
for every seeded text, and it is for `margins.explained` to say whether it was the right one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from tts.audit.margins import Reading, read_margins
from tts.audit.verdict import count_sequences
from tts.errors import ConfigError
from tts.protocols import Backend, KnowsNoise, Reads
from tts.seeds import derive
from tts.types import Capability, Problem, Request, Sampling, Segment, Trajectory, Usage

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Reference(Backend, Reads, Protocol):
    """A backend that reads."""


@dataclass(frozen=True, slots=True)
class Written:
    """A text that a candidate wrote in one go.

    Attributes:
        problem: What was asked.
        before: The part of the answer that was there.
        text: What was written, with tokens if the candidate gave any.
        sampling: How its tokens were drawn.
        seed: Of the draw; None if it is unknown.
    """

    problem: Problem
    before: Trajectory
    text: Segment
    sampling: Sampling
    seed: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared, and how much of it.

    Attributes:
        problems: To be answered, at least one; again with other draws if they do not suffice.
        sampling: How tokens are drawn.
        max_tokens: Of one answer, at least 1.
        sequences: How many are wanted, at least 2.
        tokens: Of a sequence, at least 1.
        top: The reference's likeliest tokens that are looked at, at every place, at least 1.
        seed: Every draw derives from it.
        at_once: Requests in flight, at least 1.
    """

    problems: Sequence[Problem]
    sampling: Sampling
    max_tokens: int
    sequences: int = 200
    tokens: int = 300
    top: int = 20
    seed: int = 0
    at_once: int = 64


async def write(
    candidate: Backend, counting: Backend, plan: Plan, run: str, told: Callable[[int], object]
) -> list[Written]:
    """Have answers written until they make up the sequences that are wanted.

    Args:
        candidate: Writes; it must have been started.
        counting: Its tokens are counted where the candidate gives texts only.
        plan: What is wanted.
        run: Name of the run; runs of other names have other draws.
        told: Told after each answer how many there are.

    Returns:
        In the order of the draws; the same whatever the order of arrival.

    Raises:
        BackendError: The candidate failed.
        ConfigError: It writes nothing.
    """
    found: list[Written] = []
    lengths: list[int] = []

    async def one(number: int) -> Written:
        written = await _answer(candidate, plan, run, number)
        told(1)
        return written

    more = plan.at_once
    while count_sequences(lengths, plan.tokens) < plan.sequences:
        if lengths and not any(lengths[-more:]):
            raise ConfigError(
                f"{candidate.model.name} writes nothing on these problems.",
                hint="Choose another task, or see what it answers with tts run.",
            )
        more = max(plan.at_once, _missing(lengths, plan))
        numbers = range(len(found), len(found) + more)
        found += await _side_by_side(one, numbers, plan.at_once)
        lengths += [_length(counting, written) for written in found[len(lengths) :]]
    return found


def _missing(lengths: Sequence[int], plan: Plan) -> int:
    """How many answers are still wanted, by the tokens of those that are there."""
    mean = sum(lengths) / len(lengths) if lengths else plan.max_tokens
    return math.ceil(plan.tokens * plan.sequences / mean) - len(lengths)


async def reread(
    reference: Reference, texts: Sequence[Written], plan: Plan, told: Callable[[int], object]
) -> tuple[list[Reading], Usage]:
    """What a reference makes of texts.

    Args:
        reference: Reads; it must have been started.
        texts: What was written.
        plan: How much is looked at.
        told: Told after each text how many there are.

    Returns:
        A reading a text, in the same order; those without a token are left out. And the cost.

    Raises:
        ContextTooLong: A text does not fit the reference's context.
        BackendError: It failed.
    """
    knower = reference if isinstance(reference, KnowsNoise) else None

    async def one(written: Written) -> tuple[Reading, Usage]:
        given, usage = await reference.read(
            written.problem, written.before, written.text, top=plan.top
        )
        told(1)
        return _reading(given, written, knower), usage

    pairs = await _side_by_side(one, [each for each in texts if _says(each)], plan.at_once)
    return [reading for reading, _ in pairs], sum((usage for _, usage in pairs), Usage())


def as_text(texts: Sequence[Written]) -> list[Written]:
    """The same texts without their tokens and seeds, for the reference to spell."""
    return [replace(each, text=Segment(each.text.text), seed=None) for each in texts]


async def _answer(candidate: Backend, plan: Plan, run: str, number: int) -> Written:
    """The answer of a number; answers to one problem differ by their repeat."""
    problems, seeded = plan.problems, Capability.SEEDS in candidate.capabilities
    problem = replace(problems[number % len(problems)], repeat=number // len(problems))
    seed = derive(plan.seed, "audit", run, problem.id, problem.repeat)
    root = Trajectory.root()
    request = Request(problem, root, sampling=plan.sampling, max_tokens=plan.max_tokens, seed=seed)
    async with candidate.open(request) as stream:
        async for _ in stream:
            pass
    text = stream.trajectory.segment or Segment("")
    return Written(problem, root, text, plan.sampling, seed if seeded else None)


def _says(written: Written) -> bool:
    return bool(written.text.tokens or written.text.text)


def _length(counting: Backend, written: Written) -> int:
    """Tokens of a text."""
    if written.text.tokens is not None or not written.text.text:
        return len(written.text.tokens or ())
    after = written.before.extend(written.text, child=0, clock=0)
    return counting.prompt_tokens(written.problem, after) - counting.prompt_tokens(
        written.problem, written.before
    )


def _reading(given: Segment, written: Written, knower: KnowsNoise | None) -> Reading:
    tokens, logprobs, tops = given.tokens, given.logprobs, given.top_logprobs
    assert tokens is not None and logprobs is not None and tops is not None
    # Tokens that the reference had to make of a text are not those that were drawn.
    if knower is None or written.seed is None or tokens != written.text.tokens:
        return read_margins(tokens, logprobs, tops, written.sampling)
    places = [[*top, token] for token, top in zip(tokens, tops, strict=True)]
    made = knower.noise(written.seed, places)
    if made is None:
        return read_margins(tokens, logprobs, tops, written.sampling)
    noise = [dict(zip(*place, strict=True)) for place in zip(places, made, strict=True)]
    return read_margins(tokens, logprobs, tops, written.sampling, noise)


async def _side_by_side(
    work: Callable[[_Item], Awaitable[_Result]], items: Sequence[_Item], at_once: int
) -> list[_Result]:
    """Results in the order of the items, of which some are worked on at once."""
    slots = asyncio.Semaphore(at_once)

    async def one(item: _Item) -> _Result:
        async with slots:
            return await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]
