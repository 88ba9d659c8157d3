"""`tts power`: how many problems a comparison needs, or what a number of problems can show.

Knows the options and how to say the answer; the probabilities are those of `tts.evaluation.power`.
With --from the figures come from a run: see `tts.cli._pilot`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tts.cli.options import Parser
from tts.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from tts.cli._pilot import Report
    from tts.evaluation.pairs import Pair
    from tts.evaluation.power import Plan

_ABOUT = """\
Say how many problems show a difference between two arms that answer the same problems, or what
difference a number of problems can show. With --margin: that the new arm is worse by less than
that. Accuracies, differences and margins are shares: 0.05 is five points. With --from: measure
what is needed for that in a run that is there, finished or not."""

_EXAMPLES = """\
examples:
  tts power --accuracy 0.6 --difference 0.05
  tts power --accuracy 0.6 --problems 200 --comparisons 4
  tts power --accuracy 0.7 --margin 0.02 --agreement 0.9 --repeats 4
  tts power --from outputs/demo --arms best_of_n,greedy --difference 0.05"""

_LADDER = (100, 200, 500, 1000, 1500, 3000, 10_000)
_MOST = 10_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the table.

    Attributes:
        problems: How many.
        smallest: The smallest difference, or margin, that they show; None if there is none.
        power: Probability that they show what was asked for; None if no difference was given.
    """

    problems: int
    smallest: float | None
    power: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said, and written with --json.

    Attributes:
        accuracy: Of the reference.
        difference: What the new arm is taken to add; None if that was asked.
        agreement: Share of the problems on which both are right, or both wrong.
        plan: How the comparison is judged.
        target: The power that was asked for.
        needed: Problems that reach it; None if no difference was given.
        table: What other numbers of problems show.
    """

    accuracy: float
    difference: float | None
    agreement: float
    plan: Plan
    target: float
    needed: int | None
    table: tuple[Step, ...]


def main(arguments: Sequence[str]) -> int:
    """Run `tts power`.

    Args:
        arguments: What stands behind the command.

    Returns:
        The exit code.

    Raises:
        ConfigError: An option cannot be used.
    """
    options = _parser().parse_args(list(arguments))
    # Late, so that help and slips of the pen are answered at once.
    from rich.console import Console

    from tts.evaluation.store import write_atomically

    if options.problems is not None and not 1 <= options.problems <= _MOST:
        raise ConfigError(f"--problems: {options.problems} is not 1 to {_MOST:,}.")
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    found: Answer | Report
    if options.pilot is None:
        found = answer(options)
        console.print(sentence(found, options.problems))
        console.print()
        console.print(_table(found))
    else:
        from tts.cli._pilot import report, shown

        found = report(options)
        console.print(shown(found))
    if options.json:
        write_atomically(options.json, json.dumps(asdict(found), indent=2) + "\n")
    return 0


def answer(options: argparse.Namespace) -> Answer:
    """Work it out.

    Args:
        options: As parsed.

    Raises:
        ConfigError: An option cannot be used, or nothing is asked.
    """
    from tts.evaluation.power import WITHIN, Plan, power, problems_needed, smallest_shown

    if options.arms is not None:
        raise ConfigError("--arms: it names arms of a run.", hint="Give the run with --from.")
    if options.accuracy is None:
        raise ConfigError("--accuracy: it is not given.", hint="Give it, or a run with --from.")
    if options.difference is None and options.margin is None and options.problems is None:
        raise ConfigError(
            "tts power: nothing is asked.", hint="Give --difference, --margin or --problems."
        )
    if options.difference is None and options.margin is not None:
        options.difference = 0.0
    target = options.power
    repeats = 1 if options.repeats is None else options.repeats
    within = WITHIN if options.within is None else options.within
    plan = Plan(options.alpha, options.comparisons, options.margin, repeats, within)
    true = options.difference or 0.0
    pair = _pair(options, true)
    asked = options.difference is not None
    needed = problems_needed(pair, plan, target) if asked else None
    numbers = {*_LADDER, *(n for n in (needed, options.problems) if n)}
    return Answer(
        accuracy=options.accuracy,
        difference=options.difference,
        agreement=1 - pair.discordance,
        plan=plan,
        target=target,
        needed=needed,
        table=tuple(
            Step(
                n,
                smallest_shown(lambda d: _pair(options, d), true, n, plan, target),
                power(pair, n, plan) if asked else None,
            )
            for n in sorted(numbers)
        ),
    )


def sentence(found: Answer, problems: int | None) -> str:
    """The answer in one sentence.

    Args:
        found: What was worked out.
        problems: The number that was asked about, if any.
    """
    claim = _claim(found)
    odds = f"with a probability of {found.target:.0%}"
    step = next((s for s in found.table if s.problems == problems), None)
    if step is None:
        return f"{found.needed:,} problems show {odds} {claim}."
    if step.power is not None:
        return (
            f"{step.problems:,} problems show with a probability of {step.power:.0%} {claim}; "
            f"{found.needed:,} do {odds}."
        )
    if step.smallest is None:
        return f"{step.problems:,} problems show no difference {odds}."
    return f"{step.problems:,} problems show {odds} {claim} of {_points(step.smallest)} or more."


def _claim(found: Answer) -> str:
    reference = f"a reference at {found.accuracy:.1%}"
    if found.plan.margin is not None:
        true = "equal to" if not found.difference else f"{_points(found.difference)} from"
        margin = _points(found.plan.margin)
        return f"that an arm truly {true} {reference} is worse by less than {margin}"
    if found.difference is None:
        return f"a gain over {reference}"
    return f"a difference of {_points(found.difference)} to {reference}"


def _pair(options: argparse.Namespace, difference: float) -> Pair:
    from tts.evaluation.pairs import Pair
    from tts.evaluation.power import CORRELATION

    if options.agreement is not None:
        return Pair.agreeing(options.accuracy, difference, options.agreement)
    correlation = CORRELATION if options.correlation is None else options.correlation
    return Pair.correlated(options.accuracy, difference, correlation)


def _table(found: Answer) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    kind = "difference" if found.plan.margin is None else "margin"
    for column in ("problems", f"smallest {kind} shown", "power for the asked one"):
        if found.difference is not None or not column.startswith("power"):
            table.add_column(column, justify="right")
    for step in found.table:
        smallest = "–" if step.smallest is None else _points(step.smallest)
        odds = [] if step.power is None else [f"{step.power:.1%}"]
        table.add_row(f"{step.problems:,}", smallest, *odds)
    table.caption = (
        f"power {found.target:.0%}, {found.plan}, both arms alike on {found.agreement:.0%} of "
        "the problems"
    )
    table.caption_justify = "left"
    return table


def _points(share: float) -> str:
    return f"{100 * share:.3g} points"


def _parser() -> Parser:
    parser = Parser("power", _ABOUT, _EXAMPLES)
    add = parser.add_argument
    add("--accuracy", type=float, help="of the reference, 0 to 1")
    add("--from", type=Path, dest="pilot", metavar="FOLDER", help="measure the arms of this run")
    add("--arms", metavar="ARM,REFERENCE", help="two of them (every arm against the first)")
    add("--difference", type=float, help="what the new arm adds; 0 where only a margin is given")
    add("--margin", type=float, help="show that the new arm is worse by less than this")
    add("--problems", type=int, help="say what this many problems show")
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--agreement", type=float, help="share of problems where both are alike")
    known.add_argument("--correlation", type=float, help="of right answers (0.6)")
    add("--power", type=float, default=0.8, help="probability that it is shown (0.8)")
    add("--alpha", type=float, default=0.05, help="two-sided error (0.05)")
    add("--comparisons", type=int, default=1, help="that share the error (1)")
    add("--repeats", type=int, help="of each problem (1, or those of the run)")
    add(
        "--within",
        type=float,
        help="share of the variance repeats average away (0.5, or that of the run)",
    )
    add("--json", type=Path, metavar="FILE", help="write the answer there as well")
    return parser
