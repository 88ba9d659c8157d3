"""Window stopping: draw windows of votes, and stop at the first in which all agree.

Source: early-stopping self-consistency, ESC (Li et al. 2024, "Escape Sky-high Cost"). The windows
do not overlap. A silent sample leaves its place in a window to the next vote.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tts.budget._votes import Verdict, Votes, check_count, decided
from tts.protocols import PotView
from tts.types import Evidence, Grant, ProblemId, Stop


@dataclass(frozen=True)
class WindowStopping:
    """Grant what the present window lacks, until one is of a single answer.

    Args:
        window: Votes in a window, at least 2.

    Raises:
        ConfigError: It is below 2.
    """

    window: int = 5

    def __post_init__(self) -> None:
        check_count("window", self.window, 2, 5)

    def decide(self, evidence: Mapping[ProblemId, Evidence], pot: PotView) -> list[Grant | Stop]:
        """Stop the problems with a window of one answer; fill the windows of the others."""
        return decided(evidence, self._judge)

    def _judge(self, votes: Votes) -> Verdict:
        size = self.window
        whole = len(votes.keys) // size
        for number in range(whole):
            if len(set(votes.keys[number * size : (number + 1) * size])) == 1:
                return Verdict(True, f"all {size} votes of window {number + 1} agree; {votes}")
        missing = size - len(votes.keys) % size
        return Verdict(False, f"window {whole + 1} lacks {missing} of {size}; {votes}", missing)
