"""Diverse verifier tree search: independent greedy searches instead of one beam.

Source: Beeching et al. 2024, "Scaling Test-Time Compute with Open Models": the budget is split
into `n / width` subtrees, each of which draws `width` next steps and keeps the best one. Nothing
competes across subtrees before the answers are compared at the end, so a confident wrong beginning
takes one subtree and not the whole beam.

A subtree is a beam search that keeps one beam. It waits for its own steps only, never for another
subtree. All answers that ended in it are candidates; the released code returns those of its last
step, ended or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tts.protocols import Env, Selector
from tts.selectors import BestScore
from tts.strategies._steps import STEPWISE, Harvest, Stepper, check_width, together
from tts.strategies.beam_search import climb
from tts.types import Capability, Problem, Result, Usage


@dataclass(frozen=True)
class DVTS:
    """Diverse verifier tree search.

    `Result.details["steps"]` is the number of steps that each subtree took.

    Args:
        n: Candidates at each step in all subtrees, at least `width`; there are `n // width`.
        width: Next steps drawn in each subtree, at least 1.
        stepper: What ends a step.
        selector: Chooses among the answers of all subtrees at the end.
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
        drawn = self.n // self.width * self.width
        return Usage(completion_tokens=drawn, calls=drawn, verifier_calls=drawn)

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Climb in all subtrees side by side, and choose among the answers that have ended."""
        harvest = Harvest(env, self.selector)
        subtree = partial(
            climb, problem, env, self.stepper, harvest, n=self.width, width=self.width
        )
        subtrees = [partial(subtree, branch=number) for number in range(self.n // self.width)]
        steps = [len(beams or ()) for beams in await together(subtrees)]
        return Result(
            problem.id, await harvest.choice(), harvest.candidates, details={"steps": steps}
        )
