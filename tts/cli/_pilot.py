"""`tts power --from`: what a run that is there says of the next one.

Knows the options and how to say the answer; what is measured is that of `tts.evaluation.piloting`,
and what follows from it that of `tts.evaluation.power`. Why no power is told at the difference that
the run itself has shown: Hoenig & Heisey 2001, "The abuse of power"; Gelman & Carlin 2014, "Beyond
power calculations" (differences that caught the eye are too large).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

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

_NONE = "–"
_MEASURED = (
    "accuracy /\nreference",
    "points",
    "only one\nsolved %",
    "corre-\nlation",
    "within",
)

POST_HOC = (
    'Numbers at the difference observed in the same run ("post hoc") are optimistic: they take it '
    "for the true one, and a difference that caught the eye is larger than the truth on average. "
    "Fix --difference, the smallest one that matters, before the run."
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
    notes = list(_notes(findings, options))
    compared = {pilot.arm for pilot in found}
    if not options.arms and (missing := [arm for arm in list(marks)[1:] if arm not in compared]):
        notes.append(f"Left out, for want of a problem that both ended: {', '.join(missing)}.")
    if observed:
        notes.append(POST_HOC)
    return Report(str(options.pilot), options.power, observed, findings, tuple(notes))


def shown(report: Report) -> Group:
    """The report as two tables and the notes.

    Args:
        report: What was worked out.
    """
    reference = report.findings[0].pilot.reference
    parts: list[Text | Table] = [
        Text(f"{report.run}, against {reference}; problems × repeats that both ended"),
        _measured(report),
        Text(_question(report)),
        _consequences(report),
    ]
    return Group(*(x for part in parts for x in (part, Text())), *map(Text, report.notes))


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
        if fixed is not None:
            raise
        needed = None  # an observed difference may be 0, or next to it
    return Finding(
        pilot=pilot,
        difference=true,
        plan=plan,
        needed=needed,
        problems=problems,
        smallest=smallest_shown(pair_of, true, problems, plan, options.power),
        power=None if fixed is None else power(pair_of(true), problems, plan),
    )


def _notes(findings: Sequence[Finding], options: argparse.Namespace) -> Iterator[str]:
    for found in findings:
        pilot = found.pilot
        if pilot.correlation is None:
            yield (
                f"The correlation of {pilot.arm} cannot be told where an arm is right always or "
                f"never; {CORRELATION:g} is taken."
            )
        if pilot.within is None and pilot.repeats > 1:
            yield (
                f"The share within problems of {pilot.arm} cannot be told: its difference never "
                f"varies, or there is one problem; {found.plan.within:g} is taken."
            )
    if any(found.pilot.within is None and found.pilot.repeats == 1 for found in findings):
        plan = findings[0].plan
        taken = f"{plan.within:g} is taken" if plan.repeats > 1 else "nothing above depends on it"
        yield f"The share within problems cannot be told from one repeat; {taken}."
    if len({found.plan.repeats for found in findings}) > 1:
        yield "The arms differ in their repeats; each line goes by its own."
    if len(findings) > 1 and options.comparisons == 1:
        yield (
            "Each comparison is judged by itself; "
            f"--comparisons {len(findings)} shares the error among them."
        )


def _measured(report: Report) -> Table:
    table = _empty("arm", "problems", *_MEASURED)
    for pilot in (found.pilot for found in report.findings):
        table.add_row(
            escape(pilot.arm),
            f"{pilot.problems:,} × {pilot.repeats}",
            f"{100 * pilot.arm_accuracy:.1f} / {100 * pilot.reference_accuracy:.1f}",
            f"{100 * pilot.difference:+.1f}",
            f"{100 * pilot.discordance:.1f}",
            _rounded(pilot.correlation),
            _rounded(pilot.within),
        )
    return table


def _question(report: Report) -> str:
    plan = report.findings[0].plan
    whose = "observed in this run" if report.observed else "as given"
    what = f"To show a difference {whose}"
    if plan.margin is not None:
        what = f"To show that the arm is worse by less than {100 * plan.margin:g} points"
    return f"{what}: power {report.target:.0%}, {plan}"


def _consequences(report: Report) -> Table:
    kind = "difference" if report.findings[0].plan.margin is None else "margin"
    columns = ["arm", "points\ntaken", "problems\nneeded", "problems", f"smallest\n{kind} shown"]
    table = _empty(*columns, *["power"] * (not report.observed))
    for found in report.findings:
        table.add_row(
            escape(found.pilot.arm),
            f"{100 * found.difference:+.1f}",
            _NONE if found.needed is None else f"{found.needed:,}",
            f"{found.problems:,}",
            _NONE if found.smallest is None else f"{100 * found.smallest:.1f}",
            *([] if found.power is None else [f"{found.power:.1%}"]),
        )
    return table


def _empty(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(columns[0], overflow="fold")
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _rounded(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"
