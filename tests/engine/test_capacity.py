"""The largest model that a machine could run: by the checks that a real one would meet."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts.engine.capacity import largest
from tts.engine.hardware import Hardware

PLAIN = Hardware(cores=2, memory_gib=16.0, isa=frozenset({"avx2"}))
H100 = Hardware(8, 200.0, cuda_devices=1, cuda_capability=(9, 0), cuda_memory_gib=80.0)


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
