"""What the steps of a run's chains do for their answers: a sample of chains, step by step.

The method is that of `tts.analysis.importance`. The answer is the chain's own, right or wrong: what
is asked is what its steps did for the answer that came of them, not whether they should have led
to another. The unit of every interval is the problem; one chain of each is looked at.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import cast

from tts.analysis import Perplexity, Reader, importance
from tts.analysis.reading import Kind as StepKind
from tts.errors import ConfigError, ContextTooLong
from tts.evaluation.chains import KINDS, Figure, Kind, kept, kind_of, over_problems
from tts.seeds import derive
from tts.types import Problem

STEPS: tuple[StepKind, ...] = ("plain", "recheck", "change")
FUNCTIONAL: tuple[StepKind, ...] = ("recheck", "change")
MARGIN = 1.05
"""A step helps above this importance, hinders below its inverse, and does nothing in between."""

AT_ONCE = 64
"""Chains that are read side by side."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """A chain that was drawn.

    Attributes:
        arm: Under which it was sampled.
        problem_id: Of the problem.
        kind: What came of it.
        text: The whole answer.
        answer: The final answer, as it was written.
    """

    arm: str
    problem_id: str
    kind: Kind
    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Weighed:
    """A chain whose steps were weighed.

    Attributes:
        chain: The chain.
        kinds: Of all of its steps.
        importance: Of steps, by number, above 0.
    """

    chain: Sampled
    kinds: tuple[StepKind, ...]
    importance: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Effect:
    """What the steps of a kind did in the chains of an arm that came to the same.

    Attributes:
        arm: Of the chains.
        step: Kind of the steps.
        kind: What came of the chains.
        steps: Their number, at least 1.
        problems: Number of problems that have any.
        hinders: Share of steps with an importance below 1 / `MARGIN`.
        idle: Share of steps in between.
        helps: Share of steps with an importance above `MARGIN`.
        mean: Geometric mean of the importance.
    """

    arm: str
    step: StepKind
    kind: Kind
    steps: int
    problems: int
    hinders: Figure
    idle: Figure
    helps: Figure
    mean: Figure


@dataclass(frozen=True, slots=True)
class Contrast:
    """What plain steps did more than those of another kind, in the same chains.

    Attributes:
        arm: Of the chains.
        step: The other kind.
        problems: Number of problems whose chain has both.
        helps: Share of plain steps that help, minus that of the others, -1 to 1.
        ratio: Geometric mean of the importance of plain steps, over that of the others.
    """

    arm: str
    step: StepKind
    problems: int
    helps: Figure
    ratio: Figure


def sampled(folder: Path, limit: int, seed: int, arm: str | None = None) -> list[Sampled]:
    """Draw problems of a run, the same in all arms, and of each arm and problem one chain.

    Chains without an answer are left out.

    Args:
        folder: Of the run; it must have kept texts.
        limit: Most problems, at least 1.
        seed: Of the draw.
        arm: Only this one.

    Raises:
        ConfigError: There are no results, no such arm, no texts, or no answers.
    """
    records, trees = kept(folder, arm)
    pools: dict[str, dict[str, list[tuple[int, int]]]] = {}
    for at, record in enumerate(records):
        for number, candidate in enumerate(record.candidates):
            if candidate.answer is not None:
                own = pools.setdefault(record.problem_id, {}).setdefault(record.arm, [])
                own.append((at, number))
    if not pools:
        raise ConfigError(f"{folder} holds no chain that came to an answer.")
    found = []
    for problem_id in sorted(pools, key=lambda name: derive(seed, "importance", name))[:limit]:
        for label, pool in pools[problem_id].items():
            at, number = pool[derive(seed, "importance", problem_id, label) % len(pool)]
            record, candidate = records[at], records[at].candidates[number]
            text = trees[record.file_key].trajectories()[number].text
            answer = cast(str, candidate.answer)
            found.append(Sampled(label, problem_id, kind_of(candidate), text, answer))
    return found


async def weighed(
    chains: Sequence[Sampled],
    problems: Mapping[str, Problem],
    reader: Reader,
    perplexity: Perplexity,
    *,
    steps: Collection[StepKind] = STEPS,
    told: Callable[[], None] = lambda: None,
) -> list[Weighed]:
    """Weigh the steps of chains side by side; the first error ends all others.

    Args:
        chains: Whose steps are weighed.
        problems: By id.
        reader: Takes chains apart.
        perplexity: Of an answer behind a chain.
        steps: Kinds of steps that are weighed.
        told: Called after each chain.

    Returns:
        In the order of `chains`; those that are too long to be read are left out.

    Raises:
        BackendError: Whoever reads failed.
    """
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(each: Sampled) -> Weighed | None:
        chain = reader.read(each.text, each.answer)
        kinds = tuple(step.kind for step in chain.steps)
        wanted = [number for number, kind in enumerate(kinds) if kind in steps]
        try:
            async with slots:
                values = await importance(
                    problems[each.problem_id], chain, each.answer, perplexity,
                    reader=reader, steps=wanted,
                ) if wanted else {}  # fmt: skip
        except ContextTooLong:
            return None
        finally:
            told()
        return Weighed(each, kinds, values)

    tasks = [asyncio.create_task(one(each)) for each in chains]
    try:
        return [each for each in await asyncio.gather(*tasks) if each is not None]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def effects(chains: Sequence[Weighed]) -> list[Effect]:
    """What steps did, by arm, kind of step and what came of the chain; in the order of the arms."""
    values: dict[tuple[str, StepKind, Kind], dict[str, list[float]]] = {}
    for chain, step, value in _each(chains):
        own = values.setdefault((chain.arm, step, chain.kind), {})
        own.setdefault(chain.problem_id, []).append(value)
    arms = list(dict.fromkeys(each.chain.arm for each in chains))
    keys = sorted(
        values, key=lambda key: (arms.index(key[0]), STEPS.index(key[1]), KINDS.index(key[2]))
    )
    return [_effect(*key, values[key]) for key in keys]


def _each(chains: Sequence[Weighed]) -> Iterator[tuple[Sampled, StepKind, float]]:
    for each in chains:
        for number, value in each.importance.items():
            yield each.chain, each.kinds[number], value


def _effect(arm: str, step: StepKind, kind: Kind, values: Mapping[str, Sequence[float]]) -> Effect:
    def share(counts: Callable[[float], bool]) -> Figure:
        return over_problems({p: [float(counts(v)) for v in own] for p, own in values.items()})

    return Effect(
        arm=arm,
        step=step,
        kind=kind,
        steps=sum(len(own) for own in values.values()),
        problems=len(values),
        hinders=share(lambda value: value < 1 / MARGIN),
        idle=share(lambda value: 1 / MARGIN <= value <= MARGIN),
        helps=share(lambda value: value > MARGIN),
        mean=_geometric(values),
    )


def contrasts(chains: Sequence[Weighed]) -> list[Contrast]:
    """Plain steps against the functional ones of the same chains, by arm; where there are both."""
    found = []
    for arm in dict.fromkeys(each.chain.arm for each in chains):
        own = [each for each in chains if each.chain.arm == arm]
        found += [each for step in FUNCTIONAL if (each := _contrast(arm, step, own))]
    return found


def _contrast(arm: str, step: StepKind, chains: Sequence[Weighed]) -> Contrast | None:
    helps, ratios = {}, {}
    for each in chains:
        plain, other = (_of(each, kind) for kind in ("plain", step))
        if plain and other:
            name = each.chain.problem_id
            helps[name] = [fmean(v > MARGIN for v in plain) - fmean(v > MARGIN for v in other)]
            ratios[name] = [geometric_mean(plain) / geometric_mean(other)]
    if not helps:
        return None
    return Contrast(arm, step, len(helps), over_problems(helps), _geometric(ratios))


def _of(each: Weighed, step: StepKind) -> list[float]:
    return [value for number, value in each.importance.items() if each.kinds[number] == step]


def _geometric(values: Mapping[str, Sequence[float]]) -> Figure:
    found = over_problems({p: [math.log(v) for v in own] for p, own in values.items()})
    low, high = found.low, found.high
    return Figure(
        math.exp(found.mean),
        None if low is None else math.exp(low),
        None if high is None else math.exp(high),
    )
