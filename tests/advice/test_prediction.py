"""Speed and memory of a plan: by hand, and for any workload."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.advice.llamas import CPU, LLAMA, SMALL, plan
from tts.advice.machines import KNOWN
from tts.advice.prediction import activation_bytes, memory, predict
from tts.advice.workload import Workload
from tts.engine.hardware import GIB
from tts.engine.machine import Efficiency, total
from tts.engine.roofline import decode, operators, prefill

A100 = KNOWN["A100-80G"]
BF16 = plan("bf16").loaded(LLAMA, A100.hardware)
FP32 = plan("fp32").loaded(SMALL, CPU.hardware)
OVERHEADS = Efficiency(step=2e-3, layer=1e-3, sequence=1e-4, request=5e-3)


def test_memory_by_hand():
    found = memory(BF16, A100, Workload(1, 1000, 3000, samples=4), 8)
    assert found.weights == pytest.approx(16_060_522_496 / GIB)
    # Four answers share a prompt: 3000 + 1000 / 4 positions of 131,072 bytes each.
    assert found.answer == pytest.approx(3250 * 131_072 / GIB)
    assert found.cache == pytest.approx(8 * found.answer)
    assert found.room == pytest.approx(0.9 * 80 - 1.5)
    left = found.room - found.weights - found.activations
    assert found.largest == math.floor(left / found.answer)
    assert found.need == found.weights + found.cache + found.activations


def test_activations_are_the_widest_product_or_the_logits():
    # 2048 tokens of 2 x 4096 + 3 x 14336 numbers of two bytes.
    assert activation_bytes(LLAMA, BF16.numerics, 1) == 2048 * (8192 + 43_008) * 2
    assert activation_bytes(LLAMA, BF16.numerics, 400) == 2 * 400 * 128_256 * 4


def test_a_cycle_by_hand():
    load = Workload(8, 100, 50)
    found = predict(FP32, CPU, load, OVERHEADS)
    work = total(operators(SMALL, FP32.numerics, decode(8, 100 + 51 / 2)), CPU, OVERHEADS)
    overhead = 2e-3 + 3 * 1e-3 + 8 * 1e-4
    assert found.step.total == pytest.approx(work.total + overhead)
    read = total(operators(SMALL, FP32.numerics, prefill(8, 100)), CPU, OVERHEADS)
    cycle = 49 * found.step.total + read.total + overhead + 8 * 5e-3
    assert found.cycle.total == pytest.approx(cycle)
    assert found.tokens_per_second == pytest.approx(8 * 50 / cycle)
    assert found.seconds == pytest.approx(cycle)
    assert found.machine_seconds == pytest.approx(cycle / 8)
    assert found.cycle.bound == "overhead"


def test_long_prompts_are_read_in_several_steps():
    load = Workload(50, 100, 2)  # 5000 tokens, at most 2048 in a step
    found = predict(FP32, CPU, load, Efficiency(step=1.0))
    assert round(found.cycle.overhead) == 1 + 3


def test_drawing_costs_with_the_vocabulary():
    slow = replace(CPU, draw=1e-6)
    load = Workload(4, 10, 10)
    extra = predict(FP32, slow, load).cycle.compute - predict(FP32, CPU, load).cycle.compute
    assert extra == pytest.approx(10 * 4 * 32 * 1e-6)


def test_samples_of_a_problem_share_their_prompt():
    alone = predict(BF16, A100, Workload(16, 2000, 200))
    shared = predict(BF16, A100, Workload(16, 2000, 200, samples=16))
    assert shared.tokens_per_second > 1.5 * alone.tokens_per_second
    assert shared.machine_seconds == pytest.approx(16 * 200 / shared.tokens_per_second)


def test_what_does_not_fit_waits_or_is_refused():
    tight = replace(A100, hardware=replace(A100.hardware, cuda_memory_gib=22.0))
    load = Workload(64, 1000, 1000)
    found = predict(BF16, tight, load)
    assert 1 <= found.in_flight < 64 and found.in_flight == found.memory.largest
    assert found.memory.fits
    assert found.seconds > predict(BF16, A100, replace(load, concurrency=found.in_flight)).seconds
    none = predict(BF16, replace(A100, hardware=KNOWN["T4"].hardware), load)
    assert (none.in_flight, none.tokens_per_second) == (0, 0.0)
    assert none.seconds == none.machine_seconds == math.inf
    assert not none.memory.fits


def test_a_chain_takes_as_many_cycles_as_it_has_answers():
    once = predict(BF16, A100, Workload(4, 100, 50))
    thrice = predict(BF16, A100, Workload(4, 100, 50, sequential_tokens=150))
    assert thrice.seconds == pytest.approx(3 * once.seconds)
    assert thrice.tokens_per_second == once.tokens_per_second


@given(
    st.integers(1, 256),
    st.integers(1, 256),
    st.integers(1, 4000),
    st.integers(2, 2000),
    st.integers(1, 16),
)
def test_side_by_side_is_faster_in_all_and_slower_for_each(few, more, prompt, answer, samples):
    loads = [Workload(n, prompt, answer, samples) for n in (few, few + more)]
    one, many = (predict(BF16, A100, load, OVERHEADS) for load in loads)
    if many.in_flight == few + more and few + more <= 2048 / prompt:  # one step reads all prompts
        assert many.tokens_per_second >= one.tokens_per_second * (1 - 1e-9)
    assert many.seconds >= one.seconds * (1 - 1e-9)


@given(st.integers(1, 64), st.integers(1, 500), st.integers(1, 500), st.floats(0.2, 1.0))
def test_a_less_efficient_engine_is_slower(batch, prompt, answer, part):
    load = Workload(batch, prompt, answer)
    best = predict(FP32, CPU, load).tokens_per_second
    assert predict(FP32, CPU, load, Efficiency(compute=part)).tokens_per_second <= best
    assert predict(FP32, CPU, load, Efficiency(bandwidth=part)).tokens_per_second <= best
    assert predict(FP32, CPU, load, OVERHEADS).tokens_per_second < best
