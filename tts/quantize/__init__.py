"""Checkpoints with fewer bits: made by llm-compressor in an environment of its own, and measured.

llm-compressor and vLLM pin compressed-tensors to different versions, so the one that makes a
checkpoint cannot live beside the one that runs it. What is decided here (recipes, the environment's
contents, calibration data, the card) is decided in this process; `_worker.py` alone runs in the
other environment, and is told everything.

Knows the engine's files (models, tokenizers, shapes) and the runner of evaluations. Starts no
engine by itself: a backend is given.
"""

from tts.quantize.card import Card, Measured
from tts.quantize.environment import Environment, ensure
from tts.quantize.recipes import MAKEABLE, Recipe, recipe_for

__all__ = [
    "MAKEABLE",
    "Card",
    "Environment",
    "Measured",
    "Recipe",
    "ensure",
    "recipe_for",
]
