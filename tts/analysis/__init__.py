"""Analysers of finished chains of thought: what was in them, and how much of it was needed.

Pure: texts and log-probabilities in, numbers and graphs out. Networkx is imported where a graph is
made.
"""

from tts.analysis.conclusions import Conclusions, Extracted, LastValue, canonical
from tts.analysis.graph import ANSWER, PROBLEM, failed_fraction, failed_steps, step_graph
from tts.analysis.importance import Perplexity, functional, importance
from tts.analysis.perplexity import Phrasing, read_perplexity, usual
from tts.analysis.portrait import Portrait, portrait
from tts.analysis.reading import Chain, Reader, Step
from tts.analysis.redundancy import agreement, concluded, redundancy, seen
from tts.analysis.selectors import FewestFailedSteps, MostConfident, Shortest
from tts.analysis.surprisal import Ends, ends_by, pruned, pruning_order, surprisals
from tts.analysis.tokens import thinking_tokens, tokens_between

__all__ = [
    "ANSWER",
    "PROBLEM",
    "Chain",
    "Conclusions",
    "Ends",
    "Extracted",
    "FewestFailedSteps",
    "LastValue",
    "MostConfident",
    "Perplexity",
    "Phrasing",
    "Portrait",
    "Reader",
    "Shortest",
    "Step",
    "agreement",
    "canonical",
    "concluded",
    "ends_by",
    "failed_fraction",
    "failed_steps",
    "functional",
    "importance",
    "portrait",
    "pruned",
    "pruning_order",
    "read_perplexity",
    "redundancy",
    "seen",
    "step_graph",
    "surprisals",
    "thinking_tokens",
    "tokens_between",
    "usual",
]
