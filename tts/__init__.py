"""Test-time scaling: more accuracy from a language model by spending compute at inference."""

from tts import errors
from tts.budget import Allocation, BetaStopping, Budget, Fixed
from tts.seeds import derive
from tts.selectors import BestScore, Majority, WeightedVote
from tts.solve import solve, solve_all
from tts.strategies import (
    DVTS,
    AdaptiveSampling,
    AStar,
    AsyncBeam,
    BeamSearch,
    BestOfN,
    ByDifficulty,
    DeepConf,
    EarlyRejection,
    FirstAccepted,
    FirstFinish,
    GlimpRouter,
    Greedy,
    LastFinish,
    ParticleFilter,
    SelfConsistency,
    SpecReason,
    Stepper,
    WeightedBestOfN,
)
from tts.types import (
    Answer,
    Candidate,
    Capability,
    Problem,
    Request,
    Result,
    Sampling,
    Score,
    Structure,
    Trajectory,
    Usage,
)
from tts.verifiers import PRM, Judge, Likelihood
from tts.watching import Thinking

__version__ = "0.1.0"

__all__ = [
    "DVTS",
    "PRM",
    "AStar",
    "AdaptiveSampling",
    "Allocation",
    "Answer",
    "AsyncBeam",
    "BeamSearch",
    "BestOfN",
    "BestScore",
    "BetaStopping",
    "Budget",
    "ByDifficulty",
    "Candidate",
    "Capability",
    "DeepConf",
    "EarlyRejection",
    "FirstAccepted",
    "FirstFinish",
    "Fixed",
    "GlimpRouter",
    "Greedy",
    "Judge",
    "LastFinish",
    "Likelihood",
    "Majority",
    "ParticleFilter",
    "Problem",
    "Request",
    "Result",
    "Sampling",
    "Score",
    "SelfConsistency",
    "SpecReason",
    "Stepper",
    "Structure",
    "Thinking",
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
