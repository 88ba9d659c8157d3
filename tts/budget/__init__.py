"""Budgets: limits, pots and leases, and the controllers that decide who gets how much."""

from tts.budget.beta import BetaStopping
from tts.budget.fixed import Fixed
from tts.budget.pot import Budget, Lease, Pot

__all__ = ["BetaStopping", "Budget", "Fixed", "Lease", "Pot"]
