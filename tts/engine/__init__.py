"""The bundled engine: settings, checks, models, and vLLM's life cycle.

vLLM, torch and transformers are imported only when something needs them.
"""

from tts.engine.config import EngineConfig, read_config
from tts.engine.decode import Decode
from tts.engine.engine import Engine
from tts.engine.hardware import Hardware, detect
from tts.engine.identity import identity_of
from tts.engine.models import bundled, resolve_model
from tts.engine.preflight import check
from tts.engine.progress import Progress
from tts.engine.resolved import ResolvedConfig, resolve
from tts.engine.reward import Following, RewardEngine, Rows
from tts.engine.shape import Shape, eos_ids, model_info, read_shape, weights_hash
from tts.engine.stats import EngineStats

__all__ = [
    "Decode",
    "Engine",
    "EngineConfig",
    "EngineStats",
    "Following",
    "Hardware",
    "Progress",
    "ResolvedConfig",
    "RewardEngine",
    "Rows",
    "Shape",
    "bundled",
    "check",
    "detect",
    "eos_ids",
    "identity_of",
    "model_info",
    "read_config",
    "read_shape",
    "resolve",
    "resolve_model",
    "weights_hash",
]
