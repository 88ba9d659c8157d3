"""Speeds out of times that are known to come from them."""

from __future__ import annotations

from dataclasses import replace
from math import cos

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.advice.llamas import CPU, SMALL, plan
from tts.advice.fitting import Point, fit, speeds
from tts.advice.workload import Workload
from tts.engine.kernels import Kernel
from tts.engine.machine import Efficiency
from tts.engine.shape import FeedForward

DEEP = replace(
    SMALL,
    layers=12,
    width=256,
    query_heads=8,
    key_value_heads=4,
    feed_forward=FeedForward(704),
    active_params=12 * (256 * 768 + 3 * 256 * 704) + 256 * 32,
)
LOADS = [Workload(batch, 32, length) for batch in (2, 8, 48) for length in (8, 40)]
LOADED = [plan("fp32").loaded(shape, CPU.hardware) for shape in (SMALL, DEEP)]


def runs(true: Efficiency, noise=lambda i: 1.0) -> list[Point]:
    points = [Point(each, CPU, load, 1.0) for each in LOADED for load in LOADS]
    return [replace(p, seconds=p.predicted(true) * noise(i)) for i, p in enumerate(points)]


@settings(max_examples=8)
@given(st.floats(1e-3, 1e-2), st.floats(1e-4, 2e-3), st.floats(2e-5, 3e-4), st.floats(2e-4, 5e-3))
def test_overheads_are_found_where_kernels_are_at_their_speed(step, layer, sequence, request):
    true = Efficiency(1.0, 1.0, step, layer, sequence, request)
    found = fit(runs(true))
    for name in ("step", "layer", "sequence", "request"):
        assert getattr(found, name) == pytest.approx(getattr(true, name), rel=0.02, abs=2e-6), name
    assert found.compute == pytest.approx(1, abs=0.02)


def test_what_is_fitted_predicts_what_was_not():
    true = Efficiency(0.8, 0.9, 3e-3, 8e-4, 1e-4, 1.5e-3)
    noisy = runs(true, noise=lambda i: 1 + 0.04 * cos(2.4 * i))
    found = fit(noisy)
    for model in LOADED:
        for batch in (1, 16, 64, 128):
            one = Point(model, CPU, Workload(batch, 32, 64), 1.0)
            assert one.predicted(found) == pytest.approx(one.predicted(true), rel=0.1)


def test_slow_kernels_are_told_from_overheads_by_the_batch():
    slow = Efficiency(0.5, 1.0, 1e-3, 1e-4, 1e-5, 1e-4)
    assert fit(runs(slow)).compute == pytest.approx(0.5, abs=0.1)


def kernel(fixed, by_row, single) -> Kernel:
    """A million weights; seconds for a weight, and for a weight and a row."""
    times = {rows: 1e6 * (fixed + by_row * rows) for rows in (2, 16, 64)}
    return Kernel(10**6, {1: 1e6 * (single + by_row), **times})


@given(st.floats(1e-11, 1e-8), st.floats(1e-12, 1e-9), st.floats(1e-11, 1e-8))
def test_a_processors_times_are_a_line(fixed, by_row, single):
    peak, feed = speeds(kernel(fixed, by_row, single), "int8", overlaps=False)
    assert peak == pytest.approx(2 / by_row, rel=1e-3)
    assert feed.several == pytest.approx(1 / fixed, rel=1e-3)
    assert feed.single == pytest.approx(1 / single, rel=1e-2)


def test_what_is_all_arithmetic_needs_no_time_to_read():
    peak, feed = speeds(kernel(0.0, 1e-10, 0.0), "bf16", overlaps=False)
    assert peak == pytest.approx(2e10, rel=1e-6) and feed.several > 1e13


def test_where_reading_overlaps_the_ends_tell():
    times = {1: 1e-6, 2: 1.1e-6, 16: 2e-6, 64: 6.4e-6}
    peak, feed = speeds(Kernel(10**6, times), "bf16", overlaps=True)
    assert peak == pytest.approx(2 * 64 * 1e6 / 6.4e-6)
    assert (feed.single, feed.several) == pytest.approx((2e12, 2e6 / 1.1e-6))
