"""Reproducible mode: what it refuses, what the engine is told, and answers equal bit by bit."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.engine.rounded import checkpoint_with, in_bfloat16
from tests.engine_fixtures import other_peoples_warnings
from tts.backends.vllm import VLLMBackend
from tts.engine import EngineConfig, Hardware, Shape, check, resolve
from tts.engine.shape import FeedForward
from tts.errors import ConfigError, TTSError
from tts.seeds import derive
from tts.tasks.mini import MiniTask
from tts.types import Problem, Request, Sampling, Segment, Trajectory

AVX2 = Hardware(2, 16.0, frozenset({"avx2"}))
H100 = Hardware(16, 128.0, frozenset({"avx512"}), 2, (9, 0), 80.0)
T4 = Hardware(8, 64.0, frozenset({"avx512"}), 1, (7, 5), 15.0)
SHAPE = Shape(30, 9, 3, 64, 134_000_000, 2048, 269_000_000, "bfloat16")
EXPERTS = FeedForward(width=64, experts=8, chosen=2)

SAMPLINGS = (
    Sampling(0.0), Sampling(0.8), Sampling(1.0, top_p=0.9, top_k=20), Sampling(0.7, min_p=0.05),
)  # fmt: skip
"""They take turns, so that a batch holds all of them."""


def resolved(hardware=AVX2, shape=SHAPE, role="policy", **given):
    config = EngineConfig(reproducible=True, **given)
    found = resolve(config, hardware, Path("somewhere"), shape, role)
    check(config, found, hardware, shape, lambda _: True, ())
    return found


def test_what_the_engine_is_told():
    found = resolved()
    assert found.reproducible and found.dtype == "float32"
    assert found.arguments["quantization"] == "layercast"
    assert found.arguments["enforce_eager"] is True and "reproducible" not in found.arguments
    assert found.environment["VLLM_CPU_ATTN_SPLIT_KV"] == "0"
    assert found.footprint.weights == pytest.approx(269e6 / 2**30)  # as they are stored
    on_gpu = resolved(H100)
    assert on_gpu.environment["VLLM_BATCH_INVARIANT"] == "1" and on_gpu.dtype == "float32"
    plain = resolve(EngineConfig(), AVX2, Path("somewhere"), SHAPE)
    assert not plain.reproducible and "VLLM_CPU_ATTN_SPLIT_KV" not in plain.environment


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dtype": "bfloat16"}, "model.engine.dtype is 'bfloat16'"),
        ({"quantization": "fp8"}, "model.engine.quantization is 'fp8'"),
        ({"kv_cache_dtype": "fp8"}, "model.engine.kv_cache_dtype is 'fp8'"),
        ({"enforce_eager": False}, "model.engine.enforce_eager is False"),
        ({"tensor_parallel_size": 2, "hardware": H100}, "tensor_parallel_size is 2"),
        ({"pipeline_parallel_size": 2, "hardware": H100}, "pipeline_parallel_size is 2"),
        ({"extra": {"enable_lora": True}}, "model.engine.extra.enable_lora is True"),
        ({"extra": {"speculative_config": {"method": "ngram"}}}, "extra.speculative_config"),
        ({"role": "reward"}, "reward model"),
        ({"hardware": T4}, "compute capability 8.0"),
        ({"shape": replace(SHAPE, quantization={"quant_method": "awq"})}, "quantised"),
        ({"shape": replace(SHAPE, feed_forward=EXPERTS)}, "mixture of experts"),
    ],
)
def test_what_it_refuses(change, sentence):
    with pytest.raises(TTSError, match=sentence) as refusal:
        resolved(**change)
    assert "reproducible to false" in str(refusal.value.hint)


# --- on the engine --------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def backend(tmp_path_factory):
    """A checkpoint of 16 bits, run reproducibly; few blocks, so that some answers are preempted."""
    path = checkpoint_with(tmp_path_factory.mktemp("model") / "bf16", in_bfloat16, "bfloat16")
    settings = {"reproducible": True, "max_model_len": 512, "kv_cache_gib": 0.02}
    with pytest.MonkeyPatch.context() as patched, other_peoples_warnings():
        patched.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")  # to ask its process in Python
        made = VLLMBackend(str(path), settings)
        await made.start()
        yield made
        await made.aclose()


async def answered(backend, requests, width):
    """What comes of requests, some at a time: tokens, log-probabilities, cached tokens."""
    slots = asyncio.Semaphore(width)

    async def one(request):
        async with slots, backend.open(request) as stream:
            async for _ in stream:
                pass
        return stream

    streams = await asyncio.gather(*map(one, requests))
    texts = [stream.trajectory.segment for stream in streams]
    cached = sum(stream.usage.cached_tokens for stream in streams)
    return [(text.tokens, text.logprobs, text.top_logprobs) for text in texts], cached


def requests_of(count, before=""):
    """To problems of all levels, drawn in all ways."""
    problems = [Problem.chat(i.problem.id, before + _asked(i)) for i in MiniTask(n_problems=count)]
    return [
        Request(
            problem,
            Trajectory.root(),
            sampling=SAMPLINGS[number % len(SAMPLINGS)],
            max_tokens=120,
            logprobs=3,
            seed=derive(0, problem.id),
        )
        for number, problem in enumerate(problems)
    ]


def _asked(item):
    return item.problem.messages[-1].content


@pytest.mark.engine
async def test_neither_batch_nor_order_changes_a_bit(backend):
    requests = requests_of(64)
    together, _ = await answered(backend, requests, 64)
    alone, _ = await answered(backend, requests[:16], 1)
    assert together[:16] == alone
    order = random.Random(0).sample(range(64), 64)
    shuffled, _ = await answered(backend, [requests[place] for place in order], 64)
    assert [together[place] for place in order] == shuffled


@pytest.mark.engine
async def test_nor_does_the_prefix_cache(backend):
    """A question of more than a block, cold and warm, and read with its answer."""
    long = "12+34-5+67-8+90-12+34-5+67-8+90-"
    requests = requests_of(8, long)
    cold, _ = await answered(backend, requests[:1], 1)
    warm, cached = await answered(backend, requests, 8)
    assert cached >= 32 * 7 and warm[0] == cold[0]
    for request, (tokens, logprobs, tops) in zip(requests, warm, strict=True):
        given = Segment("", tokens=tokens, tokenizer=backend.model.tokenizer)
        read, _ = await backend.read(request.problem, request.trajectory, given, top=3)
        assert (read.logprobs, read.top_logprobs) == (logprobs, tops)


@pytest.mark.engine
async def test_weights_stay_in_sixteen_bits(backend):
    """The engine says so of its own process."""

    def types_by_axes(worker):
        named = worker.get_model().named_parameters()
        return sorted({(weight.ndim, str(weight.dtype)) for _, weight in named})

    (found,) = await backend.engine._llm.collective_rpc(types_by_axes)
    assert [tuple(each) for each in found] == [(1, "torch.float32"), (2, "torch.bfloat16")]


@pytest.mark.engine
async def test_a_draw_without_a_seed_is_refused(backend):
    drawn = Request(Problem.chat("p", "1+2="), Trajectory.root(), max_tokens=4)
    with pytest.raises(ConfigError, match="without a seed"):
        await answered(backend, [drawn], 1)


@pytest.mark.engine
async def test_it_is_the_model(backend, vllm_backend):
    """Answers are those of the model in float32, up to the rounding of its weights."""
    requests = requests_of(12)
    ours, _ = await answered(backend, requests, 12)
    for request, (tokens, logprobs, _) in zip(requests, ours, strict=True):
        given = Segment("", tokens=tokens, tokenizer=backend.model.tokenizer)
        read, _ = await vllm_backend.read(request.problem, request.trajectory, given)
        assert read.logprobs == pytest.approx(logprobs, abs=0.15)
