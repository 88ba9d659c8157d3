"""What a run that is there says of two of its arms: the figures that a plan of the next one needs.

Knows records and outcomes, neither plans nor powers (those are `tts.evaluation.power`). All figures
are those of one repeat, so that they mean what `Pair` and `Plan` mean by them. Arms are compared
where both came to an end, on the same repeat of the same problem: that is where they share the
draws, and what a fault ended is left out.
Sources: Searle, Casella & McCulloch 1992, "Variance Components", section 3.6 (the components by
analysis of variance, groups of different sizes); Yule 1912 (the correlation phi).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import harmonic_mean
from typing import Self

from tts.errors import ConfigError
from tts.evaluation.records import Record
from tts.evaluation.store import RESULTS, read

Marks = Mapping[str, Mapping[int, bool]]
"""Whether the answer was right, by problem and repeat."""


@dataclass(frozen=True, slots=True)
class Pilot:
    """What was measured of an arm and its reference. Accuracies and shares are 0 to 1.

    Attributes:
        arm: Label of the one.
        reference: Label of the other.
        problems: Number of problems that both ended, at least 1.
        repeats: Of each problem; where they differ the harmonic mean, rounded down, which is what
            the variance of the accuracy goes by.
        arm_accuracy: Mean over the problems of the mean over their repeats.
        reference_accuracy: Likewise.
        discordance: Share of the problems that only one of the two solved.
        correlation: Of right answers (phi), -1 to 1; None where an arm is right always or never.
        within: Share of the variance of a problem's difference, at one repeat, that is noise of
            sampling (see `variances`); None where it cannot be told: with one repeat, with one
            problem, or if the difference never varies.
    """

    arm: str
    reference: str
    problems: int
    repeats: int
    arm_accuracy: float
    reference_accuracy: float
    discordance: float
    correlation: float | None
    within: float | None

    @property
    def difference(self) -> float:
        """Accuracy of the arm minus that of the reference."""
        return self.arm_accuracy - self.reference_accuracy

    @classmethod
    def of(cls, arm: str, reference: str, marks: Mapping[str, Marks]) -> Self:
        """Measure two arms.

        Args:
            arm: Label of the one.
            reference: Label of the other.
            marks: By label.

        Raises:
            ConfigError: They share no problem.
        """
        pairs = _matched(marks[arm], marks[reference])
        if not pairs:
            raise ConfigError(
                f"--arms: {arm} and {reference} share no problem that both ended.",
                hint="Continue the run, or choose other arms.",
            )
        new = _mean([_mean([a for a, _ in group]) for group in pairs])
        old = _mean([_mean([b for _, b in group]) for group in pairs])
        both = _mean([_mean([a and b for a, b in group]) for group in pairs])
        components = variances([[a - b for a, b in group] for group in pairs])
        return cls(
            arm=arm,
            reference=reference,
            problems=len(pairs),
            repeats=math.floor(harmonic_mean([len(group) for group in pairs]) + 1e-9),
            arm_accuracy=new,
            reference_accuracy=old,
            discordance=_mean([_mean([a != b for a, b in group]) for group in pairs]),
            correlation=_phi(new, old, both),
            within=_share(*components) if components else None,
        )


def read_marks(folder: Path) -> dict[str, dict[str, dict[int, bool]]]:
    """The outcomes of a run, finished or not, by the label of the arm, in the order of the run.

    The last record of a problem and repeat counts; if that one failed, there is none.

    Args:
        folder: Of the run.

    Raises:
        ConfigError: There are no results in it, or they cannot be understood.
    """
    path = folder / RESULTS
    if not path.is_file():
        raise ConfigError(
            f"--from: {folder} holds no {RESULTS}.",
            hint="Name the folder of a run; a sweep has one inside for each of its runs.",
        )
    last: dict[tuple[str, str, int], Record] = {}
    for record in read(path):
        last[record.arm, record.problem_id, record.repeat] = record
    found: dict[str, dict[str, dict[int, bool]]] = {}
    for (arm, problem, repeat), record in last.items():
        problems = found.setdefault(arm, {})
        if not record.failed:
            problems.setdefault(problem, {})[repeat] = bool(record.correct)
    return found


def pilots(marks: Mapping[str, Marks], arms: Sequence[str] = ()) -> list[Pilot]:
    """Measure two arms, or every arm against the first.

    Args:
        marks: By label, as `read_marks` gives them.
        arms: An arm and its reference; empty for all.

    Returns:
        One a pair. With all arms, those that share no problem with the first are left out.

    Raises:
        ConfigError: There are no two arms, an arm is not there, or none share a problem.
    """
    names = list(marks)
    if len(names) < 2:
        raise ConfigError(
            f"--from: the run holds {len(names) or 'no'} arm{'s' * (not names)}; it takes two to "
            "compare.",
            hint="Name a run of several strategies; experiment=demo makes one.",
        )
    for name in arms:
        if name not in marks:
            raise ConfigError(
                f"--arms: there is no arm {name!r}.", hint=f"There are: {', '.join(names)}."
            )
    if arms and (len(arms) != 2 or arms[0] == arms[1]):
        raise ConfigError(
            "--arms: it takes two different arms.",
            hint=f"Write --arms {names[1]},{names[0]}: the reference comes last.",
        )
    if arms:
        return [Pilot.of(arms[0], arms[1], marks)]
    first, others = names[0], names[1:]
    shared = [name for name in others if _matched(marks[name], marks[first])]
    return [Pilot.of(name, first, marks) for name in shared or others]


def variances(groups: Iterable[Sequence[float]]) -> tuple[float, float] | None:
    """The variance between groups, and that within them: the unbiased estimators.

    With n groups of sizes k and N values in all, the one within is the mean square within; the one
    between is (mean square between - mean square within) / ((N - sum of k² / N) / (n - 1)). It may
    come out below 0 where the true one is small.
    Source: Searle, Casella & McCulloch 1992, "Variance Components", section 3.6.

    Args:
        groups: The values of each, at least one; sizes may differ, if not by what the values are.

    Returns:
        None where the two cannot be told apart: one group, or no group with two values.
    """
    groups = [group for group in groups if group]
    n, total = len(groups), sum(len(group) for group in groups)
    if n < 2 or total == n:
        return None
    means = [_mean(group) for group in groups]
    centre = math.fsum(x for group in groups for x in group) / total
    inside = math.fsum((x - m) ** 2 for group, m in zip(groups, means, strict=True) for x in group)
    outside = math.fsum(len(g) * (m - centre) ** 2 for g, m in zip(groups, means, strict=True))
    within = inside / (total - n)
    size = (total - sum(len(group) ** 2 for group in groups) / total) / (n - 1)
    return (outside / (n - 1) - within) / size, within


def _share(between: float, within: float) -> float | None:
    """The share within; unlike its two parts it is not unbiased, only consistent."""
    whole = max(0.0, between) + within
    return within / whole if whole else None


def _phi(new: float, old: float, both: float) -> float | None:
    spread = math.sqrt(new * (1 - new) * old * (1 - old))
    return max(-1.0, min(1.0, (both - new * old) / spread)) if spread else None


def _matched(arm: Marks, reference: Marks) -> list[list[tuple[bool, bool]]]:
    """What both did, by problem, one pair a repeat that both ended."""
    found = []
    for problem, repeats in arm.items():
        others = reference.get(problem, {})
        found.append([(mark, others[r]) for r, mark in repeats.items() if r in others])
    return [group for group in found if group]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
