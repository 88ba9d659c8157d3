"""Schemes: the formats of weights, activations and KV cache, and what runs where.

One table in code (`SCHEMES`, `CACHE_FORMATS`) answers all questions of formats: which one settings
and checkpoint amount to, what the machine lacks for it and what comes nearest, which arguments of
vLLM it becomes, and how many bytes it takes. A machine is asked what it has, instruction sets and
compiled operators included; nothing is concluded from its name.

Accuracy is not known here, nor is speed: only which peak of the hardware holds.
"""

from __future__ import annotations

from tts.engine._schemes.caches import CACHE_FORMATS
from tts.engine._schemes.choice import named, spelt_out, unwritten
from tts.engine._schemes.formats import Arithmetic, CacheFormat, Needs, Scheme
from tts.engine._schemes.machine import (
    Operator,
    arithmetic_on,
    cache_lack,
    emulated,
    feasible,
    feasible_caches,
    lack,
    nearest,
)
from tts.engine._schemes.recognition import scheme_of, written_scheme
from tts.engine._schemes.sizes import token_bytes, weight_bytes
from tts.engine._schemes.table import SCHEMES

__all__ = [
    "CACHE_FORMATS", "SCHEMES", "Arithmetic", "CacheFormat", "Needs", "Operator", "Scheme",
    "arithmetic_on", "cache_lack", "emulated", "feasible", "feasible_caches", "lack", "named",
    "nearest", "scheme_of", "spelt_out", "token_bytes", "unwritten", "weight_bytes",
    "written_scheme",
]  # fmt: skip
