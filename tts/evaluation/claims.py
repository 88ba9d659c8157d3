"""Claims with their verdicts: one row says what was shown, on what, and how to show it again.

Knows outcomes by problem. The margin is fixed before the outcomes are looked at; the verdict
follows from the paired interval of the difference alone:

- superiority: met if the interval lies above the margin, not met if it lies at or below it;
- non-inferiority: met if it lies above minus the margin, not met if it lies at or below that;
- equivalence: met if it lies within minus the margin to the margin, not met if wholly outside;
- cost: what the arm spends, as a share of what the reference spends (of `completion_tokens`, say),
  against a margin that is such a share: met if the interval lies at or below it, not met if above;
- otherwise undecided: more problems are needed, whatever the mean says.

With few problems, or few on which the arms differ, the percentile interval of the bootstrap is too
narrow. Therefore its lower end is taken with one more problem lost outright, and its upper end with
one more won, as the exact binomial bounds count one more event (Clopper & Pearson 1934): wide where
little was seen, the same where much was. At a level of 95% a claim that is false by a hair is then
met in about 2.5% of all runs at the most (3.7% in the worst corner, counted over all outcomes of 10
to 100 problems: an arm that can only lose).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

from tts.errors import ConfigError
from tts.evaluation.statistics import Interval, Outcomes, bootstrap, differences, ratio
from tts.types import Usage

Kind = Literal["superiority", "non-inferiority", "equivalence", "cost"]
Verdict = Literal["met", "not met", "undecided"]

COSTS = (*Usage().as_dict(), "total_tokens", "policy_tokens")
"""What a claim of cost may speak of."""

COLUMNS = ("claim", "on", "problems", "kind", "margin", "difference", "verdict", "command")


@dataclass(frozen=True, slots=True)
class Claim:
    """One row.

    Attributes:
        what: What is compared, such as 'best_of_n against majority, n = 16'.
        on: The problems, such as 'gsm8k test, 1,319 problems'.
        n_problems: On which both arms have an outcome.
        margin: Fixed beforehand, in accuracy (0.02 is two points), at least 0; of a cost the share
            of the reference's.
        kind: What the margin means; see the module.
        interval: Of the difference, arm minus reference; of a cost that of the share.
        verdict: By the interval; see the module.
        command: What to run to see it again.
        cost: What is spent, one of `COSTS`; empty where accuracies are compared.
    """

    what: str
    on: str
    n_problems: int
    margin: float
    kind: Kind
    interval: Interval
    verdict: Verdict
    command: str
    cost: str = ""

    @classmethod
    def of(
        cls,
        arm: Outcomes,
        reference: Outcomes,
        *,
        what: str,
        on: str,
        kind: Kind,
        margin: float,
        command: str,
        cost: str = "",
        level: float = 0.95,
    ) -> Self:
        """Judge a claim by paired outcomes.

        Args:
            arm: Outcomes by problem; where a cost is claimed, what each problem cost.
            reference: Likewise; the problems in both count.
            what: What is compared.
            on: The problems, in words.
            kind: What is claimed of the arm.
            margin: At least 0; above 0 unless a superiority is claimed.
            command: What to run to see it again.
            cost: What is spent, if that is what is claimed.
            level: Coverage of the interval; what is one-sided errs in half of the rest.

        Raises:
            ConfigError: The kind is unknown, the margin or the cost does not fit it, the level is
                not above 0 and below 1, or no problem is shared.
        """
        check(kind, margin, level, cost)
        paired = differences(arm, reference)
        if not paired:
            raise ConfigError("reference: it shares no problem with the arm.")
        if kind == "cost":
            interval = ratio(arm, reference, level=level)
        else:
            repeats = {len(side[p]) for side in (arm, reference) for p in paired}
            interval = cautious(list(paired.values()), sorted(repeats), level=level)
        return cls(
            what=what,
            on=on,
            n_problems=len(paired),
            margin=margin,
            kind=kind,
            interval=interval,
            verdict=judge(interval, kind, margin),
            command=command,
            cost=cost,
        )

    def markdown(self) -> str:
        """One row of a Markdown table whose head is `head()`."""
        d, say = self.interval, _share if self.cost else _points
        cells = (
            self.what,
            self.on,
            f"{self.n_problems:,}",
            f"{self.kind}: {self.cost}" if self.cost else self.kind,
            say(self.margin).lstrip("+"),
            f"{say(d.mean)} [{say(d.low)}, {say(d.high)}]",
            f"**{self.verdict}**",
            f"`{self.command}`",
        )
        return _line(cells)


def head() -> str:
    """The first two lines of a Markdown table of claims.

    Margins and differences are in points; those of costs are shares of the reference's cost.
    """
    return _line(COLUMNS) + "\n" + _line(("---",) * len(COLUMNS))


def judge(interval: Interval, kind: Kind, margin: float) -> Verdict:
    """The verdict of an interval; see the module for the rules.

    Args:
        interval: Of the difference, arm minus reference; of a cost that of the share.
        kind: What is claimed.
        margin: In accuracy, at least 0; of a cost a share.
    """
    if kind == "cost":
        met, missed = interval.high <= margin, interval.low > margin
    elif kind == "equivalence":
        met = -margin < interval.low and interval.high < margin
        missed = interval.high <= -margin or interval.low >= margin
    else:
        least = margin if kind == "superiority" else -margin
        met, missed = interval.low > least, interval.high <= least
    return "met" if met else "not met" if missed else "undecided"


def cautious(
    values: Sequence[float], repeats: Sequence[int] = (1,), *, level: float = 0.95
) -> Interval:
    """Interval of a mean paired difference that is not too narrow where little was seen.

    Args:
        values: One paired difference a problem, -1 to 1, at least one.
        repeats: The numbers of repeats behind them.
        level: Coverage, above 0 and below 1.

    Returns:
        The mean of the values; the lower end of the bootstrap over them and a loss, the upper end
        of the one over them and a win; neither within the interval of the values alone.
    """
    plain, lower, upper = (
        bootstrap([*values, *added], repeats, bounds=(-1.0, 1.0), level=level)
        for added in ((), (-1.0,), (1.0,))
    )
    return Interval(plain.mean, min(plain.low, lower.low), max(plain.high, upper.high))


def check(kind: str, margin: float, level: float = 0.95, cost: str = "") -> None:
    """Refuse a claim that means nothing, before anything is run.

    Raises:
        ConfigError: The kind is unknown, the margin or the cost does not fit it, or the level is
            not above 0 and below 1.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"kind: there is no {kind!r}.", hint=f"Use {', '.join(get_args(Kind))}.")
    if (kind == "cost") != bool(cost) or cost not in ("", *COSTS):
        raise ConfigError(
            f"cost: {cost!r} does not fit a claim of {kind}.",
            hint=f"A claim of kind cost names one of {', '.join(COSTS)}; others name none.",
        )
    if kind == "cost":
        if not 0 < margin < math.inf:
            raise ConfigError(f"margin: {margin:g} is no share of a cost; use 0.5 for a half.")
    elif not 0 <= margin < 1:
        raise ConfigError(f"margin: {margin:g} is not at least 0 and below 1.")
    if margin == 0 and kind != "superiority":
        raise ConfigError(f"margin: {kind} needs one above 0, fixed beforehand.")
    if not 0 < level < 1:
        raise ConfigError(f"level: {level:g} is not above 0 and below 1.")


def _share(part: float) -> str:
    return f"{part:.2f}"


def _points(share: float) -> str:
    return f"{100 * share + 0.0:+.1f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
