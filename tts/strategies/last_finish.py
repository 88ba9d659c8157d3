"""Last-finish search: wait for all answers, and keep the longest.

Source: Agarwal et al. 2025, "The Art of Scaling Test-Time Compute for Large Language Models"
(LFS-k@N). It helps where, on the same problem, right answers tend to be longer than wrong ones,
and costs what a majority vote over all of them costs. With `k` of 1 it is the longest; with `k` of
`n` it is that vote, over all that have finished.

An answer that was cut off by a cap has not finished, however long it is, and one without a result
that can be read is passed over.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

from tts.protocols import Env, Selector
from tts.selectors import Majority
from tts.strategies._common import chosen, interim
from tts.strategies._race import Race, Runner, candidates_of, check_race
from tts.types import Candidate, Capability, Problem, Result


@dataclass(frozen=True)
class LastFinish:
    """The longest `k` of `n` answers.

    Args:
        n: Answers drawn side by side, at least 1.
        k: How many of them are kept, 1 to `n`: the longest in tokens, of equal ones those with the
            lower numbers.
        thinking_end: Text that ends the thinking part, such as `</think>`; only that part is
            measured then. Empty to measure whole answers.
        selector: Chooses among the `k`.
    """

    n: int = 4
    k: int = 1
    thinking_end: str = ""
    selector: Selector = Majority()
    requires: frozenset[Capability] = frozenset()

    def __post_init__(self) -> None:
        check_race(self.n, self.k, self.selector)

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Wait for all, and choose among the longest."""
        race = Race(env, self.n, self.thinking_end, watch=bool(self.thinking_end))
        last: list[Runner] = []
        best: Candidate | None = None
        async with aclosing(race.finishers()) as finishers:
            async for runner in finishers:
                last = sorted([*last, runner], key=_longest_first)[: self.k]
                if runner not in last:
                    continue
                best = await env.choose(interim(self.selector), candidates_of(last))
                if best is not None:
                    env.publish(best)
        best = await chosen(env, self.selector, best, candidates_of(last))
        return Result(problem.id, best, race.candidates)


def _longest_first(runner: Runner) -> tuple[float, int]:
    length, number = runner.rank
    return -length, number
