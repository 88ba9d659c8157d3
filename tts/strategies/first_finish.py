"""First-finish search: keep the answers that are the first to end, and leave the rest.

Source: Agarwal et al. 2025, "First Finish Search: Efficient Test-Time Scaling in Large Language
Models"; first-k with a vote (FFS-k@N): Agarwal et al. 2025, "The Art of Scaling Test-Time Compute
for Large Language Models". It helps where, on the same problem, right answers tend to be shorter
than wrong ones.

Lengths L_(1) <= ... <= L_(n), decoded in step with each other, cost L_(1) + ... + L_(k) and
(n - k) L_(k) completion tokens, of which L_(k) are sequential. An answer that was cut off by a cap
has not finished, and one without a result that can be read is passed over.

Nothing is randomised against the advantage of whoever is scheduled first. The draws are
independent and equal in distribution, so a head start that goes by number favours no kind of
answer. It does make wall-clock a worse measure of length, and the race more like a single sample;
`order="tokens"` is immune to that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, get_args

from tts.errors import ConfigError
from tts.protocols import Env, Selector, Strategy
from tts.selectors import Majority
from tts.strategies._common import chosen, interim
from tts.strategies._race import NOBODY, Race, Runner, candidates_of, check_race
from tts.types import Candidate, Capability, Problem, ProblemId, Result

Order = Literal["tokens", "arrival"]


@dataclass(frozen=True)
class FirstFinish:
    """The first `k` of `n` answers.

    Args:
        n: Answers begun side by side, at least 1.
        k: How many of them are waited for, 1 to `n`.
        order: What comes first. `tokens`: the shorter answer, and of equal ones the lower number.
            An answer is left when it has as many tokens as the `k`-th so far, so the result is the
            same in whatever order they arrive. `arrival`: whichever is there first, by the clock.
        thinking_end: Text that ends the thinking part, such as `</think>`; only that part is
            measured then, and an answer that gets there goes on to its end. So do the others until
            then, for it may yet have no result. Empty to measure whole answers.
        selector: Chooses among the `k`.
    """

    n: int = 4
    k: int = 1
    order: Order = "tokens"
    thinking_end: str = ""
    selector: Selector = Majority()
    requires: frozenset[Capability] = frozenset()

    def __post_init__(self) -> None:
        check_race(self.n, self.k, self.selector)
        if self.order not in get_args(Order):
            raise ConfigError(
                f"strategy.order is {self.order!r}; it must be 'tokens' or 'arrival'.",
                hint="Set strategy.order=tokens.",
            )

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Race, and choose among the first."""
        return await self.among(range(self.n), problem, env)

    def replaying(self, results: Sequence[Result]) -> Strategy:
        """The same search, which keeps the answers that were the first in these results.

        By tokens it is the same anyway.
        """
        if self.order == "tokens":
            return self
        first = {
            (result.problem_id, result.repeat): result.details["arrived"]
            for result in results
            if "arrived" in result.details
        }
        return _Again(self, first)

    async def among(self, numbers: Collection[int], problem: Problem, env: Env) -> Result:
        """Race, and choose among the first of those with these numbers."""
        race = Race(env, self.n, self.thinking_end)
        first: list[Runner] = []
        best: Candidate | None = None
        async with aclosing(race.finishers()) as finishers:
            async for runner in finishers:
                if runner.number not in numbers:
                    continue
                first = self._first([*first, runner])
                if runner not in first:
                    continue
                if len(first) == self.k:
                    race.leave_after(first[-1].rank if self.order == "tokens" else NOBODY)
                best = await env.choose(interim(self.selector), candidates_of(first))
                if best is not None:
                    env.publish(best)
        best = await chosen(env, self.selector, best, candidates_of(first))
        # With fewer than `k`, all had to be waited for.
        looked_at = candidates_of(first) if len(first) == self.k else race.candidates
        arrived = {"arrived": [r.number for r in first]} if self.order == "arrival" else {}
        return Result(problem.id, best, looked_at, details=arrived)

    def _first(self, runners: list[Runner]) -> list[Runner]:
        """The first `k` of those that have finished, who are given as they arrived."""
        if self.order == "tokens":
            runners = sorted(runners, key=lambda runner: runner.rank)
        return runners[: self.k]


@dataclass(frozen=True)
class _Again:
    """A race by the clock whose outcome is known, by problem and repeat."""

    strategy: FirstFinish
    first: Mapping[tuple[ProblemId, int], Collection[int]]

    @property
    def requires(self) -> frozenset[Capability]:
        """What the race needs."""
        return self.strategy.requires

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Race, with the outcome that is known."""
        known = self.first.get((problem.id, problem.repeat), range(self.strategy.n))
        return await self.strategy.among(known, problem, env)
