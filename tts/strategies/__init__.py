"""Search strategies, one algorithm a file."""

from tts.strategies.best_of_n import BestOfN
from tts.strategies.greedy import Greedy
from tts.strategies.self_consistency import SelfConsistency
from tts.strategies.weighted_best_of_n import WeightedBestOfN

__all__ = ["BestOfN", "Greedy", "SelfConsistency", "WeightedBestOfN"]
