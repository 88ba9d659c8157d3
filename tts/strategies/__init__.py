"""Search strategies, one algorithm a file."""

from tts.strategies._rules import Bin
from tts.strategies._steps import Stepper
from tts.strategies.a_star import AStar
from tts.strategies.adaptive_sampling import AdaptiveSampling
from tts.strategies.async_beam import AsyncBeam
from tts.strategies.beam_search import BeamSearch
from tts.strategies.best_of_n import BestOfN
from tts.strategies.by_difficulty import ByDifficulty
from tts.strategies.deep_conf import DeepConf
from tts.strategies.dvts import DVTS
from tts.strategies.early_rejection import EarlyRejection
from tts.strategies.first_accepted import FirstAccepted
from tts.strategies.first_finish import FirstFinish
from tts.strategies.glimp_router import GlimpRouter
from tts.strategies.greedy import Greedy
from tts.strategies.last_finish import LastFinish
from tts.strategies.particle_filter import ParticleFilter
from tts.strategies.self_consistency import SelfConsistency
from tts.strategies.spec_reason import SpecReason
from tts.strategies.weighted_best_of_n import WeightedBestOfN

__all__ = [
    "DVTS",
    "AStar",
    "AdaptiveSampling",
    "AsyncBeam",
    "BeamSearch",
    "BestOfN",
    "Bin",
    "ByDifficulty",
    "DeepConf",
    "EarlyRejection",
    "FirstAccepted",
    "FirstFinish",
    "GlimpRouter",
    "Greedy",
    "LastFinish",
    "ParticleFilter",
    "SelfConsistency",
    "SpecReason",
    "Stepper",
    "WeightedBestOfN",
]
