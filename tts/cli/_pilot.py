"""`tts power --from`: what a run that is there says of the next one.

Knows the options and how to say the answer; what is measured is that of `tts.evaluation.piloting`,
and what follows from it that of `tts.evaluation.power`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from tts.errors import ConfigError
from tts.evaluation.pairs import Pair
from tts.evaluation.piloting import Pilot, pilots, read_marks
from tts.evaluation.power import (
    CORRELATION,
    WITHIN,
    Plan,
    power,
    problems_needed,
    smallest_shown,
)

POST_HOC = (
    "The difference observed in a run is too optimistic a guess of the true one wherever the arms "
    'were chosen for it, and power at it ("post hoc") only says its p-value again. Fix the '
    "smallest difference that matters beforehand, with --difference."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What follows from a pair of arms.

    Attributes:
        pilot: What was measured.
        difference: What the arm is taken to add to the reference.
        plan: How the comparison is judged.
        needed: Problems that show it; None if no number below ten million does.
        problems: The number of problems that the rest is about.
        smallest: The smallest difference, or margin, that they show; None if there is none.
        power: Probability that they show the difference; None if that was observed, not fixed.
    """

    pilot: Pilot
    difference: float
    plan: Plan
    needed: int | None
    problems: int
    smallest: float | None
    power: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """What is said, and written with --json.

    Attributes:
        run: Its folder.
        target: The power that was asked for.
        observed: Whether the difference is that of the run itself.
        findings: One a pair of arms.
        notes: What cannot be told, and what to beware of.
    """

    run: str
    target: float
    observed: bool
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def report(options: argparse.Namespace) -> Report:
    """Measure a run, and work out what follows.

    Args:
        options: As parsed.

    Raises:
        ConfigError: The run or an option cannot be used.
    """
    for name in ("accuracy", "agreement", "correlation"):
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name}: with --from it is measured.", hint="Leave it out.")
    marks = read_marks(options.pilot)
    found = pilots(marks, [] if options.arms is None else options.arms.split(","))
    findings = tuple(_finding(pilot, options) for pilot in found)
    observed = options.difference is None and options.margin is None
    missing = () if options.arms else list(marks)[1:]
    notes = [*_notes(findings, options), *_left_out(missing, found, marks), *[POST_HOC] * observed]
    return Report(str(options.pilot), options.power, observed, findings, tuple(notes))


def shown(report: Report) -> Group:
    """The report as two tables and the notes.

    Args:
        report: What was worked out.
    """
    parts = [f"Measured in {report.run}, in points", _measured(report), "", *_consequences(report)]
    return Group(*parts, *(part for note in report.notes for part in ("", note)))


def _finding(pilot: Pilot, options: argparse.Namespace) -> Finding:
    plan = Plan(
        options.alpha,
        options.comparisons,
        options.margin,
        pilot.repeats if options.repeats is None else options.repeats,
        next(share for share in (options.within, pilot.within, WITHIN) if share is not None),
    )
    correlation = CORRELATION if pilot.correlation is None else pilot.correlation

    def pair_of(difference: float) -> Pair:
        return Pair.correlated(pilot.reference_accuracy, difference, correlation)

    fixed = 0.0 if options.difference is None and options.margin is not None else options.difference
    true = pilot.difference if fixed is None else fixed
    problems = pilot.problems if options.problems is None else options.problems
    try:
        needed = problems_needed(pair_of(true), plan, options.power)
    except ConfigError:
        if fixed is not None or options.power in (0, 1):
            raise
        needed = None  # an observed difference may be 0, or next to it: that is an answer
    return Finding(
        pilot=pilot,
        difference=true,
        plan=plan,
        needed=needed,
        problems=problems,
        smallest=smallest_shown(pair_of, true, problems, plan, options.power),
        power=None if fixed is None else power(pair_of(true), problems, plan),
    )
