"""What a run would cost: the arm's own strategy, controller and budget, on a rehearsed backend.

Nothing is generated and no model is asked. Prompts are the real ones. How long answers are, and how
often they agree, must be assumed or be known from an earlier run; the upper bound assumes neither.
Knows nothing of the command line, nor of the backend that rehearses, which it is given.

On a large task a sample is rehearsed: the problems are put into groups of like prompt length, and
the shortest and the longest prompt of each stand for their group.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from math import ceil

from tts.budget.allocation import SharesPot
from tts.budget.fixed import Fixed
from tts.budget.pot import GRACE_SECONDS
from tts.evaluation._capped import capped, said, scarcest, shrunk
from tts.evaluation._stage import STEP, Rehearse, Scene, Stage, larger, say
from tts.evaluation.runner import Arm
from tts.protocols import Backend
from tts.tasks import Task
from tts.types import Capability, Problem, Trajectory, Usage

MOST_REHEARSED = 200
"""Problems that are rehearsed at most."""

_OTHERS = 4  # different answers beside the commonest


@dataclass(frozen=True)
class Assumptions:
    """What is taken for granted about a model that is not asked.

    Attributes:
        tokens: Length of an answer that nothing is known of, in tokens.
        agreement: Chance that a sample gives the commonest answer, 0 to 1.
        lengths: Lengths of answers that were measured, by problem.
        cached: Part of the prompt tokens that come from the prefix cache, 0 to 1.
        verifier_tokens: What a judgement costs, in verifier tokens; its bound if None.
        tokens_per_second: That the whole run generates; None if unknown.
        stream_tokens_per_second: That a single answer is generated at, at best; None if unknown.
    """

    tokens: int
    agreement: float = 0.6
    lengths: Mapping[str, Sequence[int]] = field(default_factory=dict)
    cached: float = 0.0
    verifier_tokens: float | None = None
    tokens_per_second: float | None = None
    stream_tokens_per_second: float | None = None

    def length(self, problem: Problem, seed: int) -> int:
        """Tokens of an answer: one that was measured on this problem, or else on any."""
        known = self.lengths.get(problem.id) or self._pool
        return known[seed % len(known)] if known else self.tokens

    def saying(self, problem: Problem, seed: int) -> str:
        """An answer: the commonest one, or by chance one of a few others."""
        rng = random.Random(seed)
        return say(0 if rng.random() < self.agreement else 1 + rng.randrange(_OTHERS))

    @cached_property
    def _pool(self) -> list[int]:
        return [length for lengths in self.lengths.values() for length in lengths]


@dataclass(frozen=True)
class Estimate:
    """The cost of one arm, or of several.

    Attributes:
        label: Of the arm.
        n_problems: Problems, repeats included.
        n_rehearsed: Problems that were rehearsed.
        expected: Under the assumptions, over all problems.
        upper: At most, over all problems: every answer to its cap, no early stop but that of
            `total_budget`.
        seconds: Expected wall clock; None if no speed is known.
        seconds_upper: At most; None if no speed is known.
        latency: Least seconds that a problem takes on average; None if no speed is known.
        notes: What must be said beside the numbers.
    """

    label: str
    n_problems: int
    n_rehearsed: int
    expected: Usage
    upper: Usage
    seconds: float | None = None
    seconds_upper: float | None = None
    latency: float | None = None
    notes: tuple[str, ...] = ()


async def estimate(arm: Arm, task: Task, rehearse: Rehearse, given: Assumptions) -> Estimate:
    """Rehearse an arm on a task.

    Args:
        arm: What is to be run; its backend is neither started nor asked.
        task: On what.
        rehearse: Makes the backend that stands in for the real one.
        given: Of the model.

    Raises:
        ConfigError: A prompt does not fit, or something else that the run would refuse.
        TTSError: The strategy cannot work on rehearsed answers.
    """
    groups = _groups(arm.setup.backend, [item.problem for item in task])
    stage = Stage(arm.setup, rehearse, _distinct(groups))
    likely = Scene(given.length, given.saying, STEP, given.cached, given.verifier_tokens)
    costs = await stage.play(likely)
    most = await stage.most(costs)
    upper = _total(groups, most, larger, arm.repeats)
    found = Estimate(
        label=arm.label,
        n_problems=len(task) * arm.repeats,
        n_rehearsed=len(stage.problems),
        expected=_total(groups, costs, lambda a, b: _times(a + b, 0.5), arm.repeats),
        upper=upper,
        notes=tuple(_notes(arm, given, stage.stepped, judged=upper.verifier_tokens > 0)),
    )
    return _timed(found, given) if arm.total_budget is None else _within(found, arm, given)


def _within(one: Estimate, arm: Arm, given: Assumptions) -> Estimate:
    """What the budget for all problems together leaves of it."""
    total, speed = arm.total_budget, given.tokens_per_second
    assert total is not None
    wanted = replace(one.expected, seconds=one.expected.completion_tokens / speed if speed else 0.0)
    limit, share = scarcest(wanted, total)
    notes = said(arm.label, limit, total, wanted) if share < 1 else ()
    within = replace(
        one,
        expected=shrunk(one.expected, share),
        upper=capped(one.upper, total, arm.setup.max_tokens),
        notes=(*one.notes, *notes),
    )
    timed = _timed(within, given)
    if total.seconds is None or timed.seconds_upper is None:
        return timed
    return replace(timed, seconds_upper=min(timed.seconds_upper, total.seconds + GRACE_SECONDS))


def _timed(one: Estimate, given: Assumptions) -> Estimate:
    """With the times that follow from the tokens."""
    speed, single = given.tokens_per_second, given.stream_tokens_per_second
    alone = one.expected.sequential_tokens / one.n_problems
    return replace(
        one,
        seconds=one.expected.completion_tokens / speed if speed else None,
        seconds_upper=one.upper.completion_tokens / speed if speed else None,
        latency=alone / single if single else None,
    )


def total(estimates: Sequence[Estimate]) -> Estimate:
    """All arms together, one after the other.

    Args:
        estimates: At least one.
    """
    known = all(e.seconds is not None for e in estimates)
    return Estimate(
        label="total",
        n_problems=sum(e.n_problems for e in estimates),
        n_rehearsed=sum(e.n_rehearsed for e in estimates),
        expected=sum((e.expected for e in estimates), Usage()),
        upper=sum((e.upper for e in estimates), Usage()),
        seconds=sum(e.seconds or 0.0 for e in estimates) if known else None,
        seconds_upper=sum(e.seconds_upper or 0.0 for e in estimates) if known else None,
        latency=None,
    )


@dataclass(frozen=True, slots=True)
class _Group:
    """Problems of like prompt length."""

    shortest: Problem
    longest: Problem
    size: int


def _groups(backend: Backend, problems: Sequence[Problem]) -> list[_Group]:
    if len(problems) <= MOST_REHEARSED:
        return [_Group(problem, problem, 1) for problem in problems]
    root, count = Trajectory.root(), MOST_REHEARSED // 2
    ordered = sorted(problems, key=lambda problem: backend.prompt_tokens(problem, root))
    cuts = [len(ordered) * i // count for i in range(count + 1)]
    return [_Group(ordered[a], ordered[b - 1], b - a) for a, b in pairwise(cuts)]


def _distinct(groups: Sequence[_Group]) -> list[Problem]:
    return list({p.id: p for g in groups for p in (g.shortest, g.longest)}.values())


def _total(
    groups: Sequence[_Group],
    costs: Mapping[str, Usage],
    join: Callable[[Usage, Usage], Usage],
    repeats: int,
) -> Usage:
    """The cost of all problems, by those that stand for them."""
    parts = (
        _times(join(costs[g.shortest.id], costs[g.longest.id]), g.size * repeats) for g in groups
    )
    return sum(parts, Usage())


def _times(usage: Usage, factor: float) -> Usage:
    """A multiple of a cost, rounded up to whole tokens."""
    values = usage.as_dict().items()
    return Usage(**{k: ceil(v * factor) if isinstance(v, int) else v * factor for k, v in values})  # type: ignore[arg-type]


def _notes(arm: Arm, given: Assumptions, stepped: bool, judged: bool) -> Iterator[str]:
    if not isinstance(arm.setup.controller, Fixed | SharesPot):
        yield (
            f"{arm.label}: its controller stops when answers agree; it was assumed that"
            f" {given.agreement:.0%} of a problem's samples give the commonest answer."
        )
    if stepped:
        yield (
            f"{arm.label}: steps were assumed to have {STEP} tokens, so the bound on prompt tokens"
            " and calls is no guarantee."
        )
    if Capability.DRAFT in arm.setup.strategy.requires:
        yield (
            f"{arm.label}: which of two models writes a step cannot be known before; the share of"
            " each, and what hangs on it (FLOPs, dollars), is a guess even in the upper bound."
        )
    if judged and given.verifier_tokens is None:
        yield f"{arm.label}: judgements are counted at their upper bound."
    if arm.total_budget and arm.total_budget.seconds is not None and not given.tokens_per_second:
        yield f"{arm.label}: total_budget.seconds may end the run earlier; no speed is known."
    if arm.setup.budget and arm.setup.budget.seconds is not None:
        yield f"{arm.label}: budget.seconds may end problems earlier; it is left out here."
