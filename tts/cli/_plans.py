"""The two kinds of plans, fitted, shown and as a file: by bins, and by regression."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from tts._author import Author
from tts.evaluation._options import Option, Worth
from tts.evaluation.difficulty import FittedPlan, fit_plan
from tts.evaluation.regression import FittedRegression, fit_regression
from tts.signals.pilot import Glimpse, difficulty, features
from tts.strategies._plan import BinRecord, BinsPlan, OptionRecord, RegressionPlan
from tts.types import ProblemId
from tts.verifiers.fitting import fit_logistic

Pilots = Mapping[ProblemId, Sequence[Glimpse]]


def by_bins(
    options: Sequence[Option],
    alone: Sequence[Option],
    drawn: Pilots,
    asked: argparse.Namespace,
    model: Author,
) -> BinsPlan:
    """Fit a plan by bins, and show it.

    Args:
        options: What there is to choose from, behind the pilot.
        alone: The same without it.
        drawn: The pilot of each problem.
        asked: Of the command line.
        model: Whose answers these are.

    Raises:
        ConfigError: There is nothing to fit, or no budget for it.
    """
    signal = {name: difficulty(samples, asked.signal) for name, samples in drawn.items()}
    fitted = fit_plan(options, alone, signal, asked.budget, bins=asked.bins)
    _show_bins(fitted, asked.signal)
    bins = [
        BinRecord(least=None if c.least == -math.inf else c.least, strategy=dict(c.option.strategy))
        for c in fitted.choices
    ]
    return BinsPlan(
        model=model,
        signal=asked.signal,
        pilot=asked.pilot,
        bins=tuple(bins),
        budget=asked.budget,
        n_problems=sum(c.n_problems for c in fitted.choices),
    )


def by_regression(
    options: Sequence[Option],
    alone: Sequence[Option],
    drawn: Pilots,
    asked: argparse.Namespace,
    model: Author,
) -> RegressionPlan:
    """Fit a plan by regression, and show it. Arguments and errors are as of `by_bins`."""
    read = {name: features(samples, asked.signal) for name, samples in drawn.items()}
    told = {name: found for name, found in read.items() if found is not None}
    fitted = fit_regression(options, alone, told, asked.budget, fit_logistic)
    _show_regression(fitted)
    found = [
        OptionRecord(strategy=dict(f.option.strategy), right=f.right, tokens=f.tokens)
        for f in fitted.forecasts
    ]
    return RegressionPlan(
        model=model,
        signal=asked.signal,
        pilot=asked.pilot,
        price=fitted.price,
        options=tuple(found),
        budget=asked.budget,
        n_problems=sum(f.n_problems for f in fitted.forecasts),
    )


def _show_bins(fitted: FittedPlan, signal: str) -> None:
    table = _table(signal, "problems", "choice")
    for choice in fitted.choices:
        least = f">= {choice.least:.3g}" if choice.least > -math.inf else "the rest"
        values = (str(choice.n_problems), choice.option.label)
        table.add_row(least, *values, f"{choice.right:.1%}", f"{choice.cost:,.0f}")
    _print(table, fitted.worth)


def _show_regression(fitted: FittedRegression) -> None:
    table = _table("problems", "choice")
    for f in fitted.forecasts:
        values = (str(f.n_problems), f.option.label)
        table.add_row(*values, f"{f.accuracy:.1%}", f"{f.cost:,.0f}")
    _print(table, fitted.worth)


def _table(*names: str) -> Table:
    table = Table(box=None, header_style="bold")
    for name in (*names, "right", "tokens"):
        table.add_column(name, justify="left" if name == "choice" else "right")
    return table


def _print(table: Table, worth: Worth) -> None:
    Console(highlight=False).print(table)
    ours, lone = worth.accuracy, worth.best_accuracy
    print(
        f"Two-fold: {ours.mean:.1%} [{ours.low:.1%}, {ours.high:.1%}] at {worth.cost:,.0f} tokens"
        f" a problem, the pilot's included.\nThe best single choice ({worth.best}):"
        f" {lone.mean:.1%} [{lone.low:.1%}, {lone.high:.1%}] at {worth.best_cost:,.0f}."
    )
