"""What a tuning has found: the pilot's ranks, and the held-out comparison that alone is a result.

The pilot chooses, and whoever is best of many was lucky as well: its figure there is too high on
average. So the winner is compared with the default on problems that the choice has not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tts.evaluation.statistics import Interval
from tts.evaluation.summary import Row
from tts.tuning.sampling.halving import Rung
from tts.tuning.sampling.space import Candidate

Verdict = Literal["better", "undecided", "worse", "same"]
"""Of the winner against the default: by the paired 95% interval; 'same' if it is the default."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate on the pilot.

    Attributes:
        candidate: Which it is.
        rungs: How many it has seen, at least 1.
        problems: On how many it was judged.
        accuracy: Of the user's strategy on these, with its interval; it chooses, and is no result.
        tokens: Completion tokens that the strategy takes for a problem.
    """

    candidate: Candidate
    rungs: int
    problems: int
    accuracy: Interval
    tokens: float


@dataclass(frozen=True)
class Finding:
    """One tuning.

    Attributes:
        name: Of it, and of its configuration.
        title: For people: model, scheme, strategy and task.
        about: What it holds for: model, weights, scheme, task, strategy.
        tried: The candidates on the pilot, in the order in which they were given.
        skipped: By label, why a point was not tried.
        rungs: How they were chosen among.
        winner: Of the pilot.
        default: On the held-out problems.
        tuned: The winner there, compared with the default; None if it is the default.
        notes: What must be said beside it.
    """

    name: str
    title: str
    about: Mapping[str, str | None]
    tried: tuple[Tried, ...]
    skipped: Mapping[str, str]
    rungs: tuple[Rung, ...]
    winner: Candidate
    default: Row
    tuned: Row | None
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Whether the winner is better than the default on the held-out problems."""
        if self.tuned is None:
            return "same"
        low, high = self.tuned.difference_low, self.tuned.difference_high
        if low is not None and low > 0:
            return "better"
        return "worse" if high is not None and high < 0 else "undecided"

    @property
    def taken(self) -> Candidate:
        """What is recommended: the winner if it is better, and else the default."""
        return self.winner if self.verdict == "better" else self.tried[0].candidate

    def sentence(self) -> str:
        """What was found."""
        default = f"the default ({self.tried[0].candidate.label}), {_accuracy(self.default)}"
        held = f"on {self.default.n_problems:,} held-out problems"
        if self.tuned is None:
            return f"Best on the pilot is {default} {held}; it is kept."
        low, high = _points(self.tuned.difference_low), _points(self.tuned.difference_high)
        difference = f"{_points(self.tuned.difference)} points, 95% [{low}, {high}]"
        ends = {
            "better": "it is better, and taken",
            "undecided": "not better beyond the interval, so the default is kept",
            "worse": "it is worse, so the default is kept",
        }
        return (
            f"{self.winner.label} {held}: {_accuracy(self.tuned)}, against {default};"
            f" {difference}: {ends[self.verdict]}."
        )


def _accuracy(row: Row) -> str:
    return "none graded" if row.accuracy is None else f"{row.accuracy:.1%}"


def _points(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.1f}"
