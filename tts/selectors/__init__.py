"""Selectors that ask no model: votes, scores, ranks and likenesses of a set of candidates.

They stand below strategies and verifiers because both may use them. A selector that asks a model
(a tournament, say) is a verifier's relative and lives in `tts.verifiers`.
"""

from tts.selectors.borda import Borda
from tts.selectors.fluent import Fluent
from tts.selectors.perplexity import PerplexityConsistency
from tts.selectors.typical import Typical
from tts.selectors.votes import BestScore, Majority, WeightedVote

__all__ = [
    "BestScore",
    "Borda",
    "Fluent",
    "Majority",
    "PerplexityConsistency",
    "Typical",
    "WeightedVote",
]
