"""Schemes as numbers: which peak, how many bits; and what there is to choose from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.advice.llamas import CPU, LLAMA, SMALL, plan
from tts.advice.machines import KNOWN
from tts.advice.plans import choice, plain_plan
from tts.engine.schemes import CACHE_FORMATS, SCHEMES
from tts.engine.shape import FeedForward

AUTO, FP8 = CACHE_FORMATS["auto"], CACHE_FORMATS["fp8"]
A100, H100, T4 = (KNOWN[name].hardware for name in ("A100-80G", "H100-SXM", "T4"))


def numerics(scheme, hardware, cache="auto", shape=LLAMA):
    return plan(scheme, cache).loaded(shape, hardware).numerics


def test_the_peak_is_that_of_what_is_multiplied():
    assert numerics("bf16", A100).arithmetic == "bf16"
    # Weights alone in 4 or 8 bits keep the 16-bit peak; 8 bits on both sides do not.
    assert numerics("w4a16_gptq", A100).arithmetic == numerics("w8a16_int8", A100).arithmetic
    assert numerics("w4a16_gptq", A100).arithmetic == "bf16"
    assert numerics("w8a8_int8", A100).arithmetic == "int8"
    assert numerics("fp8", A100).arithmetic == "bf16"  # widened: Ampere has no 8-bit floats
    assert numerics("fp8", H100).arithmetic == "fp8"
    assert numerics("w4a16_gptq", T4).arithmetic == "fp16"


def test_what_is_beside_the_products_is_what_the_machine_is_best_at():
    assert (numerics("w8a8_int8", A100).plain, numerics("w8a8_int8", A100).plain_bits) == (
        "bf16",
        16,
    )
    assert (numerics("w8a8_int8", T4).plain, numerics("fp32", A100).plain) == ("fp16", "fp32")
    slow = numerics("w8a8_int8", CPU.hardware)
    assert (slow.plain, slow.plain_bits, slow.input_bits) == ("fp32", 32, 8)
    assert plain_plan(CPU.hardware).name == "fp32"
    assert plain_plan(A100).name == "bf16" and plain_plan(T4).name == "fp16"


def test_bytes_follow_scheme_and_cache():
    loaded = plan("w4a16_gptq", "fp8").loaded(LLAMA, H100)
    assert loaded.token == 65_536 and loaded.numerics.cache_bits == 8
    layers, all_of_it = 6_979_321_856, 8_030_261_248
    assert loaded.weights == pytest.approx(layers * 4.125 / 8 + 2 * (all_of_it - layers))
    scaled = plan("bf16", "int8_per_token_head").loaded(LLAMA, A100)
    # A head's 128 numbers of 8 bits share a scale of 32.
    assert scaled.numerics.cache_bits == pytest.approx(8 + 32 / 128)


def test_all_that_runs_is_to_choose_from_and_the_rest_is_refused():
    found = choice(LLAMA, H100, lambda _: False, [AUTO, FP8])
    names = [each.name for each in found.plans]
    assert {"bf16", "fp8", "w8a8_int8", "w4a16_gptq", "bf16, cache fp8"} <= set(names)
    assert "kernels that vLLM does not have" in found.refused["w4a8_kv4"]
    assert not {"int8_experts", "mxfp4_experts"} & (set(names) | set(found.refused))
    mixture = replace(LLAMA, feed_forward=FeedForward(14_336, experts=8, chosen=2))
    assert "mxfp4_experts" in [e.name for e in choice(mixture, H100, lambda _: True, [AUTO]).plans]


def test_a_processor_is_not_advised_what_is_there_to_be_right():
    found = choice(SMALL, CPU.hardware, lambda name: name == "onednn_scaled_mm", [AUTO, FP8])
    assert [each.name for each in found.plans] == ["fp32", "bf16", "fp16", "w8a8_int8"]
    assert "made to be right, not fast" in found.refused["fp8"]
    assert "AVX-512" in found.refused["cache fp8"]
    without = choice(SMALL, CPU.hardware, lambda _: False, [AUTO])
    assert "onednn_scaled_mm" in without.refused["w8a8_int8"]


def test_a_quantised_checkpoint_leaves_the_cache_to_choose():
    found = choice(LLAMA, H100, lambda _: True, [AUTO, FP8], SCHEMES["w4a16_awq"])
    assert [each.name for each in found.plans] == ["w4a16_awq", "w4a16_awq, cache fp8"]
    assert found.refused == {}


def test_a_plan_of_unknown_speed_is_told_apart():
    assert plan("w8a8_int8").speed_known(SMALL, CPU)
    assert not plan("bf16").speed_known(SMALL, CPU)  # it has no peak of it
