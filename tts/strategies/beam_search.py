"""Beam search over steps, guided by a process reward model.

Source: Snell et al. 2024, "Scaling LLM Test-Time Compute Optimally can be More Effective than
Scaling Model Parameters": draw `n` first steps, keep the best `n / width`, draw `width` next steps
from each, and so on until the answers end.

What the paper leaves open is settled so. An answer that has ended keeps its place in the beam as
long as its score does, and is a candidate whether it does or not. Of beams that say the same the
first is kept, so that low temperatures do not fill the beam with copies. Of beams with equal scores
the earlier one is better, those that have ended before those that have not. What was cut at the
longest answer is no beam.

A step waits for the slowest of the one before: the algorithm is defined by it. `AsyncBeam` is the
relative that does not wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tts.protocols import Env, Selector
from tts.selectors import BestScore
from tts.strategies._steps import (
    STEPWISE,
    Harvest,
    Stepper,
    check_width,
    raw,
    side_by_side,
    without_copies,
)
from tts.types import Capability, Problem, Result, Trajectory, Usage


@dataclass(frozen=True)
class BeamSearch:
    """Beam search.

    `Result.details["beams"]` is the number of beams kept after each step, ended ones included;
    fewer than `n // width` where some said the same.

    Args:
        n: Candidates at each step, at least `width`; the beam holds `n // width` of them.
        width: Next steps drawn from each beam, at least 1.
        stepper: What ends a step.
        selector: Chooses among the answers at the end.
    """

    n: int = 8
    width: int = 4
    stepper: Stepper = Stepper()
    selector: Selector = BestScore()
    requires: frozenset[Capability] = STEPWISE

    def __post_init__(self) -> None:
        check_width("width", self.width)
        check_width("n", self.n, self.width)

    @property
    def first_step(self) -> Usage:
        """A token and a judgement for each candidate."""
        return Usage(completion_tokens=self.n, calls=self.n, verifier_calls=self.n)

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Search, and choose among the answers that have ended."""
        harvest = Harvest(env, self.selector)
        beams = await climb(problem, env, self.stepper, harvest, n=self.n, width=self.width)
        return Result(
            problem.id, await harvest.choice(), harvest.candidates, details={"beams": beams}
        )


async def climb(
    problem: Problem,
    env: Env,
    stepper: Stepper,
    harvest: Harvest,
    *,
    n: int,
    width: int,
    branch: int = 0,
) -> list[int]:
    """One beam search: draw, judge, keep the best, and go on from them.

    Args:
        problem: What is answered.
        env: Where to draw.
        stepper: What ends a step.
        harvest: Takes the answers that end.
        n: Candidates at each step.
        width: Next steps drawn from each beam.
        branch: Number of this search among those of the problem; each has draws of its own.

    Returns:
        How many beams were kept after each step.
    """
    beam, ended, copies, clock = [Trajectory.root()], list[Trajectory](), n, 0
    kept: list[int] = []
    for _ in range(stepper.max_steps):
        steps = await side_by_side(
            env, problem, stepper, beam, copies, after=clock, first=branch * n
        )
        drawn = list(steps.values())
        if not drawn:
            break
        clock = max(node.clock for node in drawn)
        await harvest.add(*filter(stepper.finished, drawn), branch=branch)
        ended, beam = survivors(env, problem, stepper, [*ended, *drawn], n // width)
        kept.append(len(ended) + len(beam))
        copies = width
        if beam:
            harvest.lead(beam[0], branch)
    return kept


def survivors(
    env: Env, problem: Problem, stepper: Stepper, nodes: Sequence[Trajectory], keep: int
) -> tuple[list[Trajectory], list[Trajectory]]:
    """The `keep` best-scored of the nodes that differ, the earlier one in a tie.

    Returns:
        Those that have ended, and those that can go on; both the best first.
    """
    alive = [n for n in nodes if stepper.finished(n) or stepper.room(env, problem, n)]
    best = sorted(without_copies(alive), key=raw, reverse=True)[:keep]
    ended = [node for node in best if stepper.finished(node)]
    return ended, [node for node in best if not stepper.finished(node)]
