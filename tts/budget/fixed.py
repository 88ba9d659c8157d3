"""The controller that lets every strategy have what it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tts.protocols import PotView
from tts.types import Evidence, Grant, ProblemId, Stop


@dataclass(frozen=True)
class Fixed:
    """Grant all that is wanted: the strategy's own numbers, and the budget, decide."""

    def decide(self, evidence: Mapping[ProblemId, Evidence], pot: PotView) -> list[Grant | Stop]:
        """Grant each problem what it wants."""
        return [Grant(problem_id, e.wants, "as wanted") for problem_id, e in evidence.items()]
