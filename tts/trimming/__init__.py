"""Watchers of chains of thought: they end, shorten and nudge the thinking of a model.

Each is a pure state machine (`tts.protocols.Watcher`); `solve(watchers=…)` puts them to work within
any strategy.
"""

from tts.trimming.budget_forcing import BudgetForcing
from tts.trimming.concise import ConCISE
from tts.trimming.concise_hint import ConciseHint
from tts.trimming.deer import Deer
from tts.trimming.end_of_thinking import EndOfThinking
from tts.trimming.loops import Loops
from tts.trimming.no_wait import NoWait
from tts.trimming.trimr import TrimR

__all__ = [
    "BudgetForcing",
    "ConCISE",
    "ConciseHint",
    "Deer",
    "EndOfThinking",
    "Loops",
    "NoWait",
    "TrimR",
]
