"""What a machine could run: by the checks that a real model would meet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.engine.capacity import dtypes, largest, quantisations
from tts.engine.hardware import Hardware

PLAIN = Hardware(cores=2, memory_gib=16.0, isa=frozenset({"avx2"}))
H100 = Hardware(8, 200.0, cuda_devices=1, cuda_capability=(9, 0), cuda_memory_gib=80.0)
T4 = replace(H100, cuda_capability=(7, 5), cuda_memory_gib=15.0)


def nothing(name):
    return False


def everything(name):
    return True


def test_data_types_follow_the_hardware():
    assert dtypes(PLAIN) == dtypes(H100) == ["float32", "bfloat16", "float16"]
    assert dtypes(T4) == ["float32", "float16"]


def test_quantisations_follow_kernels_and_hardware():
    assert quantisations(PLAIN, nothing) == ["int8_per_channel_weight_only"]
    assert quantisations(PLAIN, everything)[:2] == [
        "8-bit integers (w8a8)",
        "4-bit weights (w4a16)",
    ]
    assert "8-bit floats (fp8)" in quantisations(H100, nothing)
    assert "8-bit floats (fp8)" not in quantisations(T4, nothing)


def test_the_largest_model_by_hand():
    # 16 GiB less 1.5 for the engine and 2 for the cache, at 4 bytes a parameter.
    assert largest(PLAIN, "float32") == pytest.approx((16 - 3.5) * 2**30 / 4, rel=1e-6)
    # 90% of 80 GiB, at 2 bytes.
    assert largest(H100, "bfloat16") == pytest.approx(72 * 2**30 / 2, rel=1e-6)
    assert largest(replace(PLAIN, memory_gib=1.0), "float32") == 0


@settings(deadline=None)
@given(st.floats(0.5, 500), st.floats(0.5, 500))
def test_more_memory_never_means_a_smaller_model(one, other):
    low, high = sorted((one, other))
    sizes = [largest(replace(PLAIN, memory_gib=m), "float32") for m in (low, high)]
    assert sizes[0] <= sizes[1]
