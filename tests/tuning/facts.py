"""A model and machines for the tests of the search for settings."""

from __future__ import annotations

from dataclasses import replace

from tts.engine import Hardware, Shape, read_config
from tts.tuning.engine.knobs import Facts

AVX2 = Hardware(4, 16.0, frozenset({"avx2"}))
H100 = Hardware(16, 128.0, frozenset({"avx512"}), 2, (9, 0), 80.0)
SHAPE = Shape(3, 4, 4, 32, 600_000, 1024, 2_400_000, "float32")
FACTS = Facts(read_config({"max_model_len": 1024}), AVX2, SHAPE, 1024, 0.5, True, False, True)


def facts(**changes):
    return replace(FACTS, **changes)
