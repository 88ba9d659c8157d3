"""The demonstration without an engine: its reward model cannot read what a simulation writes."""

from __future__ import annotations

ARMS = ("greedy", "self_consistency", "best_of_n", "weighted_best_of_n", "adaptive_consistency")
"""Its arms of whole answers."""

SEARCHES = ("a_star", "particle_filter")
"""Its arms that go step by step; a simulated answer has no steps."""


def likely(arm: str) -> str:
    """An override: the arm of that strategy has its samples judged by their likelihood."""
    return f'arms.{arm}=["strategy={arm}","strategy.n=16","verifier=likelihood"]'


SIMULATED = (
    "experiment=demo", "backend=simulated", likely("best_of_n"), likely("weighted_best_of_n"),
    *(f"~arms.{arm}" for arm in SEARCHES),
)  # fmt: skip
