"""Best-of-N: sample answers and keep the one that the verifier likes best.

Source: Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems". Any verifier will do;
`likelihood` needs no second model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tts.protocols import Env, Selector
from tts.selectors import BestScore
from tts.strategies._common import check_n, sample_and_select
from tts.types import Capability, Problem, Result


@dataclass(frozen=True)
class BestOfN:
    """The best-scored of `n` samples.

    Args:
        n: Most answers to sample, at least 1.
        selector: Compares the scores.
    """

    n: int = 8
    selector: Selector = BestScore()
    requires: frozenset[Capability] = frozenset({Capability.VERIFIER})
    independent: ClassVar[bool] = True  # the samples, of each other

    def __post_init__(self) -> None:
        check_n(self.n)

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Sample, score, and take the best."""
        return await sample_and_select(problem, env, self.n, self.selector, scored=True)
