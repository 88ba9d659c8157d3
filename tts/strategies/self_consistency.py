"""Self-consistency: sample answers and take the majority.

Source: Wang et al. 2022, "Self-Consistency Improves Chain of Thought Reasoning in Language
Models". Equal answers are grouped by their canonical form, an answer that cannot be extracted
never votes, and ties are broken uniformly among the tied answers. With the `beta` controller this
is adaptive consistency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tts.protocols import Env, Selector
from tts.selectors import Majority
from tts.strategies._common import check_n, sample_and_select
from tts.types import Capability, Problem, Result


@dataclass(frozen=True)
class SelfConsistency:
    """Majority vote over `n` samples.

    Args:
        n: Most answers to sample, at least 1.
        selector: Counts the votes.
    """

    n: int = 8
    selector: Selector = Majority()
    requires: frozenset[Capability] = frozenset()
    independent: ClassVar[bool] = True  # the samples, of each other

    def __post_init__(self) -> None:
        check_n(self.n)

    async def __call__(self, problem: Problem, env: Env) -> Result:
        """Sample and vote; a selector that needs a verifier gets every sample judged."""
        scored = Capability.VERIFIER in self.selector.requires
        return await sample_and_select(problem, env, self.n, self.selector, scored=scored)
