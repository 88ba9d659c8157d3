"""Operations and bytes by hand, for Llama-3-8B and others; times never below the roofline."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts.advice.machines import KNOWN
from tts.engine import Hardware, read_shape
from tts.engine.machine import Efficiency, Feed, Machine, Seconds, seconds, total
from tts.engine.models import BUNDLED
from tts.engine.roofline import Numerics, Operator, Step, decode, operators, prefill
from tts.engine.schemes import CACHE_FORMATS, SCHEMES, token_bytes, weight_bytes
from tts.engine.shape import FeedForward, Shape

BF16 = Numerics(16, 16, "bf16", "bf16", 16, 16)
INT8 = Numerics(8, 8, "int8", "bf16", 16, 16)
W4A16 = Numerics(4.125, 16, "bf16", "bf16", 16, 16)
A100, H100 = KNOWN["A100-80G"], KNOWN["H100-SXM"]
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Shape:
    return configured(tmp_path_factory.mktemp("llama"))


def configured(folder, **changes) -> Shape:
    """The shape of Llama-3-8B, or of a model like it."""
    (folder / "config.json").write_text(json.dumps({**LLAMA, **changes}))
    shape = read_shape(folder)
    return replace(shape, weight_bytes=2 * shape.params)


def by_name(shape, numerics, step) -> dict[str, Operator]:
    return {each.name: each for each in operators(shape, numerics, step)}


def test_the_weights_of_llama_3_8b(llama):
    # A layer: 4096 x (4096 + 1024 + 1024) and 4096 x 4096 of attention, three of 4096 x 14336.
    assert llama.layer_params == 32 * (25_165_824 + 16_777_216 + 176_160_768) == 6_979_321_856
    assert llama.head_params == 4096 * 128_256 == 525_336_576
    # Embedding and output layer apart; two norms a layer, and a last one.
    assert llama.params == 6_979_321_856 + 2 * 525_336_576 + 65 * 4096 == 8_030_261_248
    assert weight_bytes(SCHEMES["bf16"], llama, "bfloat16") == 16_060_522_496
    # The matrices of the layers narrow, embedding, output layer and norms do not.
    others = 2 * (8_030_261_248 - 6_979_321_856)
    eight = weight_bytes(SCHEMES["w8a8_int8"], llama, "bfloat16")
    assert eight == pytest.approx(6_979_321_856 + others)
    four = weight_bytes(SCHEMES["w4a16_gptq"], llama, "bfloat16")
    assert four == pytest.approx(6_979_321_856 * 4.125 / 8 + others)


def test_the_cache_of_llama_3_8b(llama):
    # Keys and values, 32 layers, 8 heads of 128 numbers of two bytes.
    assert token_bytes(CACHE_FORMATS["auto"], llama, "bfloat16") == 2 * 32 * 8 * 128 * 2 == 131_072
    assert token_bytes(CACHE_FORMATS["fp8"], llama, "bfloat16") == 65_536


def test_every_operator_of_a_decode_step_by_hand(llama):
    """One sequence with a thousand positions in its cache."""
    found = by_name(llama, BF16, decode(1, 1000))
    table = {
        # name: calls, operations, bytes of weights, bytes in all
        "norm": (65, 28_672, 0, 16_384),
        "query, key, value": (32, 50_331_648, 50_331_648, 50_352_128),
        # 1000 x (4 x 4096 + 5 x 32); queries and results, and 1001 tokens of 4096 bytes.
        "attention": (32, 16_544_000, 0, 16_384 + 4_100_096),
        "attention output": (32, 33_554_432, 33_554_432, 33_570_816),
        "feed-forward, in": (32, 234_881_024, 234_881_024, 234_946_560),
        "activation": (32, 28_672, 0, 86_016),
        "feed-forward, out": (32, 117_440_512, 117_440_512, 117_477_376),
        "residual": (64, 4_096, 0, 24_576),
        "output layer": (1, 1_050_673_152, 1_050_673_152, 1_050_937_856),
    }
    assert set(found) == set(table)
    for name, (calls, ops, weights, moved) in table.items():
        one = found[name]
        assert (one.calls, one.ops, one.weights, one.bytes) == (calls, ops, weights, moved), name
        assert one.arithmetic == "bf16"
    # All weights but the embedding, which is looked up, and the norms.
    read = sum(each.calls * each.weights for each in found.values())
    assert read == 2 * (6_979_321_856 + 525_336_576)
    # The rule of thumb: two operations a weight, four a layer, position and width.
    ops = sum(each.calls * each.ops for each in found.values() if each.kind != "elementwise")
    thumb = 2 * llama.active_params + 4 * 32 * 4096 * 1000
    assert ops == pytest.approx(thumb, rel=0.001)


def test_the_batch_multiplies_all_but_the_weights(llama):
    one, many = (by_name(llama, BF16, decode(n, 1000)) for n in (1, 64))
    for name, each in many.items():
        assert each.ops == 64 * one[name].ops
        assert each.weights == one[name].weights
        assert each.bytes - each.weights == 64 * (one[name].bytes - one[name].weights)


def test_a_prompt_attends_to_its_own_past(llama):
    step = prefill(2, 100)
    assert step == Step(200, 2 * 5050, 200, 2)
    # 40 of them cached: the 41st sees 41 positions, the last 100.
    assert prefill(1, 100, 40) == Step(60, sum(range(41, 101)), 100, 1)
    found = by_name(llama, BF16, step)
    assert found["attention"].ops == 2 * 5050 * (4 * 4096 + 5 * 32)
    assert found["feed-forward, in"].ops == 200 * 234_881_024
    assert found["output layer"].ops == 2 * 1_050_673_152  # the last position of each alone


def test_grouped_queries_read_a_quarter_of_the_cache(llama, tmp_path):
    whole = configured(tmp_path, num_key_value_heads=32)
    grouped, full = (by_name(each, BF16, decode(8, 2000)) for each in (llama, whole))
    queries = 2 * 8 * 4096 * 2
    assert full["attention"].bytes - queries == 4 * (grouped["attention"].bytes - queries)
    assert full["attention"].ops == grouped["attention"].ops
    assert full["query, key, value"].ops == 2 * grouped["query, key, value"].ops
    assert token_bytes(CACHE_FORMATS["auto"], whole, "bfloat16") == 524_288
    # The same arithmetic for a quarter of the bytes.
    assert grouped["attention"].intensity == pytest.approx(
        4 * full["attention"].intensity, rel=0.01
    )


def test_a_mixture_reads_the_experts_that_are_met(tmp_path):
    # Mixtral-8x7B: two of eight experts a token, 46.7 billion weights of which 12.9 are active.
    sizes = {"num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 32_000}
    shape = configured(tmp_path, **sizes)
    assert shape.params == pytest.approx(46.7e9, rel=0.001)
    one, many = (by_name(shape, BF16, decode(n, 10)) for n in (1, 64))
    expert = 4096 * 28_672 * 2
    assert one["feed-forward, in"].weights == pytest.approx(2 * expert)
    assert many["feed-forward, in"].weights == pytest.approx(8 * expert, rel=1e-6)
    assert many["feed-forward, in"].ops == 64 * 2 * 234_881_024
    assert one["router"].weights == 4096 * 8 * 2
    ops = sum(each.calls * each.ops for each in one.values() if each.kind in ("linear", "head"))
    assert ops == 2 * shape.active_params
    # What narrows experts alone leaves attention as it is.
    experts = replace(W4A16, weight_bits=4.25, experts_only=True)
    narrow = by_name(shape, experts, decode(1, 10))
    assert narrow["query, key, value"] == one["query, key, value"]
    assert narrow["feed-forward, in"].weights == pytest.approx(2 * expert * 4.25 / 16)


def test_the_formulas_count_a_real_checkpoint():
    shape = read_shape(BUNDLED / "mini-reasoner")
    assert shape.tied
    # Its files hold a header beside the numbers.
    assert 4 * shape.params == pytest.approx(shape.weight_bytes, rel=0.002)
    assert weight_bytes(SCHEMES["fp32"], shape, "float32") == shape.weight_bytes


def test_ridge_points():
    assert A100.ridge("bf16") == pytest.approx(153, abs=0.1)  # 312e12 / 2039e9
    assert H100.ridge("bf16") == pytest.approx(295, abs=1)  # 989.5e12 / 3350e9
    slower = replace(H100, bandwidth=3072e9)
    assert slower.ridge("bf16") == pytest.approx(322, abs=0.2)


def test_a_single_stream_waits_for_weights_and_a_prompt_for_arithmetic(llama):
    alone = total(operators(llama, BF16, decode(1, 1000)), A100)
    # 15.0 GB of weights and 131 MB of cache at 2039 GB/s: 7.4 ms.
    assert alone.total == pytest.approx(15.15e9 / 2039e9, rel=0.01)
    assert alone.bound == "bandwidth" and alone.overhead == 0
    prompt = total(operators(llama, BF16, prefill(1, 4096)), A100)
    ops = 2 * 4096 * 6_979_321_856 + 32 * (4096 * 4097 / 2) * 16_544
    assert prompt.bound == "compute"
    assert prompt.compute == pytest.approx(ops / 312e12, rel=0.01)


def test_eight_bits_double_the_peak_and_four_alone_do_not(llama):
    step = prefill(4, 2048)
    times = {
        name: seconds(by_name(llama, each, step)["feed-forward, in"], A100).total
        for name, each in {"bf16": BF16, "int8": INT8, "w4a16": W4A16}.items()
    }
    assert times["int8"] == pytest.approx(times["bf16"] / 2)
    assert times["w4a16"] == pytest.approx(times["bf16"])
    # A single stream gains by what it need not read.
    alone = decode(1, 10)
    read = {n: total(operators(llama, each, alone), A100).total for n, each in
            {"bf16": BF16, "w4a16": W4A16}.items()}  # fmt: skip
    layers, head = 2 * 6_979_321_856, 2 * 525_336_576
    ratio = (layers + head) / (layers * 4.125 / 16 + head)
    assert read["bf16"] / read["w4a16"] == pytest.approx(ratio, rel=0.01)


def test_a_processor_reads_and_then_computes():
    cpu = Machine(
        "cpu",
        Hardware(2, 16.0),
        {"fp32": 100e9},
        20e9,
        {"fp32": Feed(single=20e9, several=10e9)},
    )
    one = Operator("x", "linear", 3, 1e9, 5e9, 4e9, 1, "fp32")
    # 1e9 / 100e9, and 1e9 / 20e9 + 4e9 / 20e9, three times.
    found = seconds(one, cpu)
    assert (found.compute, found.bandwidth) == pytest.approx((0.03, 0.75))
    assert seconds(replace(one, rows=2), cpu).bandwidth == pytest.approx(3 * (0.05 + 0.4))
    half = Efficiency(compute=0.5, bandwidth=0.25)
    slow = seconds(one, cpu, half)
    assert (slow.compute, slow.bandwidth) == pytest.approx((0.06, 3.0))


NUMERICS = st.sampled_from([BF16, INT8, W4A16])
MACHINES = st.sampled_from([A100, H100, replace(A100, hardware=Hardware(2, 16.0))])
SHAPES = st.builds(
    lambda groups, repeat, size, layers, inner: Shape(
        layers=layers,
        query_heads=groups * repeat,
        key_value_heads=groups,
        head_size=size,
        active_params=layers * (2 * 64 * groups * (repeat + 1) * size + 3 * 64 * inner) + 64 * 100,
        context=4096,
        weight_bytes=1,
        dtype="bfloat16",
        vocabulary=100,
        width=64,
        feed_forward=FeedForward(inner),
    ),
    st.integers(1, 8),
    st.integers(1, 8),
    st.sampled_from([32, 64, 128]),
    st.integers(1, 4),
    st.integers(1, 500),
)


@given(SHAPES, NUMERICS, MACHINES, st.integers(1, 300), st.integers(1, 5000))
def test_time_is_never_below_a_bound(shape, numerics, machine, batch, length):
    for one in operators(shape, numerics, decode(batch, length)):
        took = seconds(one, machine).total
        peak, bandwidth = machine.peaks[one.arithmetic], machine.bandwidth
        least = one.calls * max(one.ops / peak, one.bytes / bandwidth)
        assert took >= least * (1 - 1e-12)
        # Attained is what the roof at this intensity allows, or less.
        assert one.calls * one.ops / took <= min(peak, one.intensity * bandwidth) * (1 + 1e-12)


@given(SHAPES, NUMERICS, MACHINES, st.integers(1, 300), st.integers(1, 300), st.integers(1, 5000))
def test_more_answers_take_longer_but_less_each(shape, numerics, machine, few, more, length):
    times = [
        total(operators(shape, numerics, decode(n, length)), machine).total
        for n in (few, few + more)
    ]
    assert times[0] <= times[1] * (1 + 1e-12)
    assert times[1] / (few + more) <= times[0] / few * (1 + 1e-12)


@given(SHAPES, NUMERICS, MACHINES, st.integers(1, 50), st.integers(2, 2000), st.data())
def test_a_cached_prefix_saves_time(shape, numerics, machine, prompts, length, data):
    cached = data.draw(st.integers(1, length - 1))
    cold, warm = (
        total(operators(shape, numerics, prefill(prompts, length, c)), machine).total
        for c in (0, cached)
    )
    assert warm < cold


@given(st.lists(st.floats(0, 10), min_size=3, max_size=3))
def test_the_largest_part_is_what_is_waited_for(parts):
    found = Seconds(*parts)
    assert getattr(found, found.bound) == max(parts)
    assert (found + found).total == pytest.approx((found * 2).total)
