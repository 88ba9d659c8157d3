"""The bundled decoding engine: settings, checks, models, and vLLM's life cycle.

vLLM, torch and transformers are imported only when something needs them.
"""

from tts.engine.config import EngineConfig, ResolvedConfig, read_config, resolve
from tts.engine.decode import Decode
from tts.engine.engine import Engine
from tts.engine.hardware import Hardware, detect
from tts.engine.models import bundled, resolve_model
from tts.engine.preflight import check
from tts.engine.progress import Progress
from tts.engine.shape import Shape, eos_ids, model_info, read_shape, weights_hash
from tts.engine.stats import EngineStats

__all__ = [
    "Decode",
    "Engine",
    "EngineConfig",
    "EngineStats",
    "Hardware",
    "Progress",
    "ResolvedConfig",
    "Shape",
    "bundled",
    "check",
    "detect",
    "eos_ids",
    "model_info",
    "read_config",
    "read_shape",
    "resolve",
    "resolve_model",
    "weights_hash",
]
