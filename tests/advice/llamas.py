"""Shapes, machines and plans that the tests of advice share."""

from __future__ import annotations

from tts.advice.plans import Plan
from tts.engine import Hardware, Shape
from tts.engine.machine import Machine
from tts.engine.schemes import CACHE_FORMATS, SCHEMES
from tts.engine.shape import FeedForward

# Llama-3-8B: 6,979,321,856 weights in its layers, 525,336,576 in its output layer.
LLAMA = Shape(
    layers=32,
    query_heads=32,
    key_value_heads=8,
    head_size=128,
    active_params=6_979_321_856 + 525_336_576,
    context=8192,
    weight_bytes=16_060_522_496,
    dtype="bfloat16",
    vocabulary=128_256,
    width=4096,
    feed_forward=FeedForward(14_336),
)
SMALL = Shape(
    layers=3,
    query_heads=4,
    key_value_heads=4,
    head_size=32,
    active_params=606_208,
    context=1024,
    weight_bytes=2_428_416,
    dtype="float32",
    vocabulary=32,
    width=128,
    feed_forward=FeedForward(352),
    tied=True,
)
CPU = Machine("a processor", Hardware(2, 16.0, frozenset({"avx2"})), {"fp32": 1e11, "int8": 2e11},
              2e10)  # fmt: skip


def plan(scheme: str, cache: str = "auto") -> Plan:
    return Plan(SCHEMES[scheme], CACHE_FORMATS[cache])
