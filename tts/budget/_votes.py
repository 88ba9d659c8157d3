"""What stopping rules share: votes counted, settings checked, verdicts turned into decisions.

An answer that cannot be extracted never votes. Such a sample is silent: it is paid for and counts
against the strategy's n, and rules that look at votes wait for another sample in its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from tts.errors import ConfigError
from tts.types import Candidate, Evidence, Grant, ProblemId, Stop

_SHOWN = 5  # counts that a reason names


@dataclass(frozen=True, slots=True)
class Votes:
    """The votes of one problem.

    Attributes:
        keys: Of the answers, one a vote, in the order of the samples.
        silent: Number of samples without an answer.
    """

    keys: tuple[str, ...]
    silent: int = 0

    @classmethod
    def of(cls, candidates: Iterable[Candidate]) -> Self:
        """Count candidates."""
        answers = [c.answer for c in candidates]
        keys = tuple(answer.key for answer in answers if answer)
        return cls(keys, len(answers) - len(keys))

    @property
    def drawn(self) -> int:
        """Number of samples, silent ones included."""
        return len(self.keys) + self.silent

    @property
    def counts(self) -> tuple[int, ...]:
        """Votes of each answer, the leading one first."""
        return tuple(sorted(Counter(self.keys).values(), reverse=True))

    def __str__(self) -> str:
        counts = self.counts
        shown = ":".join(map(str, counts[:_SHOWN])) + (":…" if len(counts) > _SHOWN else "")
        silent = f" ({self.silent} of {self.drawn} samples silent)" if self.silent else ""
        return f"votes {shown}{silent}" if counts else f"no votes{silent}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says of a problem.

    Attributes:
        stop: Whether it ends.
        reason: Why, in words with numbers.
        samples: How many more it gets otherwise, at least 1; fewer if it wants fewer.
    """

    stop: bool
    reason: str
    samples: int = 1


def decided(
    evidence: Mapping[ProblemId, Evidence], judge: Callable[[Votes], Verdict]
) -> list[Grant | Stop]:
    """The decisions of a rule that looks at the votes of each problem by itself."""
    found: list[Grant | Stop] = []
    for problem_id, shown in evidence.items():
        verdict = judge(Votes.of(shown.candidates))
        if verdict.stop:
            found.append(Stop(problem_id, verdict.reason))
        else:
            samples = min(verdict.samples, shown.wants)
            found.append(Grant(problem_id, samples, verdict.reason))
    return found


def check_count(name: str, value: int, least: int, example: int) -> None:
    """Refuse a number below the least that makes sense.

    Raises:
        ConfigError: It is below `least`.
    """
    if value < least:
        raise ConfigError(
            f"controller.{name} is {value}; it must be at least {least}.",
            hint=f"Set controller.{name}={example}.",
        )


def check_inside(name: str, value: float, low: float, high: float, example: float) -> None:
    """Refuse a value that does not lie strictly between two others.

    Raises:
        ConfigError: It does not.
    """
    if not low < value < high:
        raise ConfigError(
            f"controller.{name} is {value:g}; it must lie above {low:g} and below {high:g}.",
            hint=f"Set controller.{name}={example:g}.",
        )


def check_share(name: str, value: float, example: float) -> None:
    """Refuse a value outside of 0 to 1.

    Raises:
        ConfigError: It lies outside.
    """
    if not 0 <= value <= 1:
        raise ConfigError(
            f"controller.{name} is {value:g}; it must lie in [0, 1].",
            hint=f"Set controller.{name}={example:g}.",
        )
