"""Other votes, verifiers and graders on samples that are there: nothing is generated.

Source: the estimators of `tts.evaluation.estimators`; samples are taken to be exchangeable, as
independent draws are and the leaves of a tree search are not.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tts.errors import CapabilityMissing
from tts.evaluation.estimators import (
    Pool,
    best_of_k,
    curve,
    majority_at_k,
    pass_at_k,
    weighted_majority_at_k,
)
from tts.evaluation.laws import CoverageLaw, Saturation, fit_coverage, fit_saturation
from tts.evaluation.samples import Samples
from tts.evaluation.statistics import Interval
from tts.protocols import AnswerFormat, Backend, Verifier
from tts.seeds import derive
from tts.types import Capability, ProblemId, Score, Usage

Grader = Callable[[ProblemId, str], Awaitable[bool]]
"""Says whether an answer to a problem is right, as `Task.grade` does."""

Rankings = Mapping[ProblemId, tuple[float, ...]]
"""By problem, what each of its samples weighs to a selector."""

DRAWS = 1000
"""Subsets that a weighted vote looks at where there are more."""

AT_ONCE = 64
"""Problems that are read, graded and scored at the same time, so that a verifier's model has full
batches."""


@dataclass(frozen=True)
class Judge:
    """How samples are read, graded and scored.

    Attributes:
        answers: How answers are written.
        grade: Whether one is right.
        verifier: Scores them anew; started, if it must be. None keeps the scores that they have.
    """

    answers: AnswerFormat
    grade: Grader
    verifier: Verifier | None = None

    async def pools(
        self, samples: Sequence[Samples], told: Callable[[], None] = lambda: None
    ) -> dict[ProblemId, Pool]:
        """Read, grade and score the samples of many problems side by side.

        Args:
            samples: One each a problem.
            told: Called after each problem.

        Returns:
            By problem, in the order of `samples`. The first error ends all others.

        Raises:
            GradingError: An answer could not be graded.
            VerifierError: The verifier failed, or lacks what the samples do not hold.
        """
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(each: Samples) -> Pool:
            async with slots:
                pool = await self.pool(each)
            told()
            return pool

        tasks = [asyncio.create_task(one(each)) for each in samples]
        try:
            pools = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return {each.problem.id: pool for each, pool in zip(samples, pools, strict=True)}

    async def pool(self, samples: Samples) -> Pool:
        """Read, grade and score the samples of one problem.

        Raises:
            GradingError: An answer could not be graded.
            VerifierError: The verifier failed, or lacks what the samples do not hold.
        """
        found = [self.answers.extract(t.text) for t in samples.trajectories]
        different = sorted({answer for answer in found if answer is not None})
        keys = {answer: await self.answers.key(answer) for answer in different}
        marks = {a: await self.grade(samples.problem.id, a) for a in different}
        return Pool(
            tuple(None if answer is None else keys[answer] for answer in found),
            tuple(answer is not None and marks[answer] for answer in found),
            tuple(score.raw for score in await self._scores(samples)),
        )

    async def _scores(self, samples: Samples) -> list[Score]:
        if self.verifier is not None:
            context = Offline(samples.problem.id, self.answers)
            return await self.verifier.score(samples.problem, samples.trajectories, context)
        scores = [t.score for t in samples.trajectories]
        return [s for s in scores if s is not None] if all(scores) else []


@dataclass(frozen=True)
class Offline:
    """What verifiers and selectors may touch here: no model.

    See `tts.protocols.VerifierContext`.
    """

    problem_id: str
    answers: AnswerFormat
    memory: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def backend(self) -> Backend:
        """There is none."""
        raise CapabilityMissing(
            "The verifier asks a model, and rescoring sends no request.",
            hint="Choose a verifier that judges texts, or run the strategy with this verifier.",
        )

    @asynccontextmanager
    async def work(self, bound: Usage) -> AsyncIterator[_Unpaid]:
        """A verifier may work on a model of its own; nobody asks what it costs."""
        yield _Unpaid()

    def rng(self, *names: Hashable) -> random.Random:
        """A random stream of its own for `names`."""
        return random.Random(derive(0, self.problem_id, "rng", *names))


class _Unpaid:
    """A charge that nobody books. See `tts.protocols.Charge`."""

    def settle(self, usage: Usage) -> None:
        """Let it go."""


@dataclass(frozen=True)
class Rescored:
    """What one pool of samples a problem would have given.

    Attributes:
        curves: By method (`pass`, `majority`, `weighted`, `best_of_n`, and what was ranked
            otherwise), then by k: the accuracy with its interval. A method that cannot be told is
            missing.
        n_problems: Problems.
        n_samples: Smallest and largest number of samples a problem.
        answered: Share of samples with an answer.
        notes: What must be said beside the numbers.
        coverage: The power law of pass@k; None with fewer than three points that tell.
        saturation: The saturating curve of the majority; None likewise.
    """

    curves: Mapping[str, Mapping[int, Interval]]
    n_problems: int
    n_samples: tuple[int, int]
    answered: float
    notes: tuple[str, ...] = ()
    coverage: CoverageLaw | None = None
    saturation: Saturation | None = None


def rescore(
    pools: Mapping[str, Pool],
    ks: Sequence[int] = (),
    rankings: Mapping[str, Rankings] | None = None,
) -> Rescored:
    """Estimate every method at every number of samples.

    Args:
        pools: By problem, at least one.
        ks: Numbers of samples; by default powers of two, and the size of the smallest pool.
        rankings: By further methods, which take the sample that weighs most.

    Raises:
        ConfigError: A k is below 1, or above the size of the smallest pool.
    """
    sizes = [len(pool.keys) for pool in pools.values()]
    ks = sorted(set(ks)) or _powers(min(sizes))
    notes = []
    if min(sizes) < max(sizes):
        notes.append(
            f"Problems have {min(sizes)} to {max(sizes)} samples; the curves end at {min(sizes)}."
            " If what was found decided how many, the curves lean."
        )
    curves = {
        "pass": curve(pools, ks, pass_at_k),
        "majority": curve(pools, ks, majority_at_k),
    }
    scored = [pool for pool in pools.values() if pool.scores]
    if len(scored) == len(pools):
        curves["best_of_n"] = curve(pools, ks, best_of_k)
        if all(0 <= score <= 1 for pool in scored for score in pool.scores):
            curves["weighted"] = curve(pools, ks, _weighted)
        else:
            notes.append("No weighted vote: it adds probabilities, and the scores are none.")
    elif scored:
        notes.append(f"{len(pools) - len(scored)} problems lack scores; nothing was made of them.")
    for method, weights in (rankings or {}).items():
        ranked = {name: replace(pool, scores=weights[name]) for name, pool in pools.items()}
        curves[method] = curve(ranked, ks, best_of_k)
    answered = sum(key is not None for pool in pools.values() for key in pool.keys) / sum(sizes)
    return Rescored(
        curves,
        len(pools),
        (min(sizes), max(sizes)),
        answered,
        tuple(notes),
        *_laws({method: {k: i.mean for k, i in c.items()} for method, c in curves.items()}),
    )


def _laws(
    means: Mapping[str, Mapping[int, float]],
) -> tuple[CoverageLaw | None, Saturation | None]:
    """What follows the points; two of them would fit any law."""
    telling = [c for c in means["pass"].values() if 0 < c < 1]
    coverage = fit_coverage(means["pass"]) if len(telling) > 2 else None
    votes = means["majority"]
    saturation = fit_saturation(votes) if len(votes) > 2 and max(votes.values()) > 0 else None
    return coverage, saturation


def _weighted(pool: Pool, k: int) -> float:
    return weighted_majority_at_k(pool, k, draws=DRAWS).value


def _powers(most: int) -> list[int]:
    ks = [1]
    while ks[-1] * 2 <= most:
        ks.append(ks[-1] * 2)
    return sorted({*ks, most})


def check_verifier_fits(verifier: Verifier, samples: Sequence[Samples]) -> None:
    """Refuse a verifier that needs log-probabilities of samples that hold none.

    Raises:
        CapabilityMissing: It does.
    """
    if Capability.LOGPROBS in verifier.requires and any(
        t.logprobs is None for s in samples for t in s.trajectories
    ):
        raise CapabilityMissing(
            f"{type(verifier).__name__} needs log-probabilities, and the samples hold none.",
            hint="Run with keep=tokens and a verifier that asks for them.",
        )
