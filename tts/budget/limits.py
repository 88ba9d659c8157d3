"""What cannot be meant, refused before anything is spent: limits, prices, controllers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from tts.budget.pot import LEASED, Budget
from tts.errors import ConfigError
from tts.protocols import Controller, Strategy
from tts.types import Capability, ModelInfo

TOTAL = "total_budget"
"""Name of the limits for all problems together."""


@runtime_checkable
class ReadsScores(Protocol):
    """A controller that may look at the verifier's scores of samples."""

    @property
    def reads_scores(self) -> bool:
        """Whether it does; then the strategy must be one that has samples judged."""
        ...


def check_scores(controller: Controller, strategy: Strategy) -> None:
    """Refuse a controller that reads scores beside a strategy that has none.

    Raises:
        ConfigError: The strategy asks no verifier.
    """
    if not (isinstance(controller, ReadsScores) and controller.reads_scores):
        return
    if Capability.VERIFIER not in strategy.requires:
        raise ConfigError(
            f"The controller {type(controller).__name__} reads scores, and the strategy"
            f" {type(strategy).__name__} asks no verifier.",
            hint="Choose a strategy that does, such as strategy=first_accepted.",
        )


def is_unlimited(budget: Budget) -> bool:
    """Whether nothing is limited."""
    return all(getattr(budget, limit) is None for limit in (*LEASED, "seconds"))


def check_together(total: Budget, budget: Budget | None) -> None:
    """Refuse limits for all problems together that contradict those of one.

    Args:
        total: For all problems together.
        budget: For each.

    Raises:
        ConfigError: One problem may spend more than all, or the total keeps back a landing reserve.
    """
    if total.landing_tokens:
        raise ConfigError(
            f"{TOTAL}.landing_tokens is {total.landing_tokens}; what closes an answer is kept back"
            " problem by problem.",
            hint="Set budget.landing_tokens instead.",
        )
    if budget is None:
        return
    for limit in (*LEASED, "seconds"):
        whole, part = getattr(total, limit), getattr(budget, limit)
        if whole is not None and part is not None and part > whole:
            raise ConfigError(
                f"budget.{limit} lets one problem spend {part:g}, and {TOTAL}.{limit} all of them"
                f" together only {whole:g}.",
                hint=f"Lower budget.{limit}, or raise {TOTAL}.{limit}.",
            )


def check_prices(budget: Budget, name: str, models: Iterable[ModelInfo]) -> None:
    """Refuse a limit in dollars on models of which no price is known: it would never bind.

    Args:
        budget: The limits.
        name: What the user calls them, `budget` or `total_budget`.
        models: All that are asked.

    Raises:
        ConfigError: A price is missing.
    """
    if budget.usd is None:
        return
    for model in models:
        if not model.priced:
            raise ConfigError(
                f"{name}.usd is {budget.usd:g}, and the price of {model.name} is missing.",
                hint="Set model.prices.completion (and prompt, cached), in dollars per million"
                " tokens.",
            )
