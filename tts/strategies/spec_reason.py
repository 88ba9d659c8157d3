"""Speculative reasoning: a small model writes each step on trial, and a grade decides if it stands.

Source: Pan et al. 2025, "SpecReason: Fast and Accurate Inference-Time Compute via Speculative
Reasoning". The draft model writes a step. It is graded from 0 to 9 for being right; with the
threshold or more it stands, with less the large model writes the step instead. The first steps,
which set the course, can be left to the large one.

The grade is the word of the run's verifier, a probability counting as nine times itself.
`verifier=grade` is the method as published: the large model reads the chain and grades its last
step in one token. A process reward model (`verifier=prm`) is the same with a judge of its own. An
unbounded reward is compared with the threshold as it is.

A chain ends with the model's end of answer or the step that states it (`stepper.last`), when a step
says what the one before it says, or when its cap or the budget is used up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tts.errors import BudgetExhausted
from tts.protocols import Env, Strategy
from tts.strategies._pair import PAIRED, STEPS, Chain, check_settings, decode
from tts.strategies._steps import STEPWISE, Stepper
from tts.types import Capability, Problem, Result, Score, Trajectory, Usage

HIGHEST = 9.0
"""The best grade."""


@dataclass(frozen=True)
class SpecReason:
    """Steps of the draft model as long as they are good enough, of the large one otherwise.

    `Result.details` tells how many `steps` of the answer each model wrote and in which order
    (`authors`), the `grades` of the tries and their mean (`mean_grades`), how many of them were
    `accepted`, and the share of the answer's tokens that the large model wrote (`large_share`).

    Args:
        threshold: Least grade with which a step stands. 0 lets all of them stand; above 9 the large
            model writes alone (and pays for the tries).
        first_n: Steps at the beginning that the large model writes untried, at least 0.
        stepper: What ends a step.
    """

    threshold: float = 7.0
    first_n: int = 0
    stepper: Stepper = STEPS
    requires: frozenset[Capability] = PAIRED | STEPWISE

    def __post_init__(self) -> None:
        check_settings(self.first_n, self.threshold)

    @property
    def first_step(self) -> Usage:
        """A token, and its grade unless the large model begins."""
        return Usage(completion_tokens=1, calls=1, verifier_calls=0 if self.first_n else 1)

    @property
    def measure(self) -> str:
        """Where `Result.details` has a value for each try."""
        return "grades"

    @property
    def rising(self) -> bool:
        """The large model writes where the grade is below the threshold."""
        return False

    def at(self, threshold: float) -> Strategy:
        """The same with another threshold."""
        return replace(self, threshold=threshold)

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Try, grade, and keep or rewrite, until the chain ends."""
        chain = Chain(env, problem, self.stepper)
        accepted = 0
        try:
            while chain.goes_on:
                if len(chain.authors) < self.first_n or not chain.room("draft"):
                    await chain.write()
                    continue
                step = await self._try(chain)
                chain.measured.append(grade(step.score))
                if chain.measured[-1] >= self.threshold:
                    chain.add("draft", step)
                    accepted += 1
                else:
                    await chain.write(after=step.clock)
        except BudgetExhausted:
            pass  # what stands is what was paid
        return await chain.result(self.measure, accepted)

    async def _try(self, chain: Chain) -> Trajectory:
        """A step of the draft model, judged; both are paid in one piece."""
        async with chain.env.reserve(chain.node, chain.room("draft"), draft=True) as inner:
            request = chain.request("draft", chain.node, inner.max_tokens)
            step = await decode(inner.draft, request)
            (step,) = await inner.score([step])
        return step


def grade(score: Score | None) -> float:
    """A judgement as a grade: 0 to 9, or an unbounded reward as it is."""
    assert score is not None, "steps are judged when they are tried"
    return score.raw if score.scale == "reward" else HIGHEST * score.probability
