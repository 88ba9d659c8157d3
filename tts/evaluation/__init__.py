"""Runs: records, statistics, tables and pictures.

SciPy and Matplotlib are imported where they are needed, so that this stays light.
"""

from tts.evaluation.records import Outcome, Record
from tts.evaluation.runner import Arm, Watcher, check, evaluate
from tts.evaluation.store import Expected, Store, read
from tts.evaluation.summary import Names, Row

__all__ = [
    "Arm",
    "Expected",
    "Names",
    "Outcome",
    "Record",
    "Row",
    "Store",
    "Watcher",
    "check",
    "evaluate",
    "read",
]
