"""How much accuracy schemes keep, as published: figures by hand."""

from __future__ import annotations

import pytest

from tts.advice.accuracy import CACHES, PUBLISHED, WHOLE, Recovery
from tts.engine.schemes import CACHE_FORMATS, SCHEMES


def test_published_figures_by_hand():
    gptq = PUBLISHED["w4a16_gptq"]
    shares = [73.11 / 74.06, 26.53 / 27.62, 24.0 / 25.8, 67.1 / 67.3]
    assert gptq.share == pytest.approx(sum(shares) / 4) == pytest.approx(0.9687, abs=1e-4)
    assert (gptq.low, gptq.high) == pytest.approx((24.0 / 25.8, 67.1 / 67.3))
    assert PUBLISHED["w4a16_awq"].share < gptq.share < PUBLISHED["w8a8_int8"].share
    assert PUBLISHED["fp8"].share == 1


def test_every_figure_belongs_to_a_scheme_and_has_a_source():
    assert set(PUBLISHED) <= set(SCHEMES) and set(CACHES) <= set(CACHE_FORMATS)
    for one in (*PUBLISHED.values(), *CACHES.values()):
        assert 0 < one.low <= one.share <= one.high <= 1 and one.source


def test_two_losses_multiply():
    both = PUBLISHED["w8a8_int8"] * CACHES["fp8"]
    assert both.share == pytest.approx(0.98 * 0.965)
    assert both.low == pytest.approx(0.97 * 0.94) and not both.measured
    assert "Kurtic" in both.source and "KV-Cache" in both.source
    assert WHOLE * WHOLE == WHOLE
    mine = Recovery(0.99, 0.99, 0.99, "measured, here", measured=True)
    assert (mine * WHOLE).measured and not (mine * CACHES["fp8"]).measured
