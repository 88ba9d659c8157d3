"""Test-time scaling: more accuracy from a language model by spending compute at inference."""

from tts import errors
from tts.budget import BetaStopping, Budget, Fixed
from tts.seeds import derive
from tts.selectors import BestScore, Majority, WeightedVote
from tts.solve import solve, solve_all
from tts.strategies import BestOfN, Greedy, SelfConsistency, WeightedBestOfN
from tts.types import (
    Answer,
    Candidate,
    Capability,
    Problem,
    Request,
    Result,
    Sampling,
    Score,
    Trajectory,
    Usage,
)
from tts.verifiers import PRM, Likelihood

__version__ = "0.1.0"

__all__ = [
    "PRM",
    "Answer",
    "BestOfN",
    "BestScore",
    "BetaStopping",
    "Budget",
    "Candidate",
    "Capability",
    "Fixed",
    "Greedy",
    "Likelihood",
    "Majority",
    "Problem",
    "Request",
    "Result",
    "Sampling",
    "Score",
    "SelfConsistency",
    "Trajectory",
    "Usage",
    "WeightedBestOfN",
    "WeightedVote",
    "__version__",
    "derive",
    "errors",
    "solve",
    "solve_all",
]
