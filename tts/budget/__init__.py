"""Budgets: limits, pots and leases, and the controllers that decide who gets how much."""

from tts.budget.allocation import Allocation
from tts.budget.beta import BetaStopping
from tts.budget.dirichlet import DirichletStopping
from tts.budget.entropy import EntropyStopping
from tts.budget.fixed import Fixed
from tts.budget.optimal_stopping import OptimalStopping
from tts.budget.pot import Budget, Lease, Pot
from tts.budget.saturation import SaturationStopping
from tts.budget.share import ShareStopping
from tts.budget.window import WindowStopping

__all__ = [
    "Allocation",
    "BetaStopping",
    "Budget",
    "DirichletStopping",
    "EntropyStopping",
    "Fixed",
    "Lease",
    "OptimalStopping",
    "Pot",
    "SaturationStopping",
    "ShareStopping",
    "WindowStopping",
]
