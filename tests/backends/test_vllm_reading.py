"""What the bundled engine says of given texts: as when it writes them, and as transformers does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import tts
from tts.errors import ConfigError, ContextTooLong
from tts.protocols import Reads
from tts.types import Problem, Request, Sampling, Segment, Trajectory

pytestmark = pytest.mark.engine

PROBLEM = Problem.chat("p", "12+7*3-5+40-6=")
ROOT = Trajectory.root()


async def drawn(backend, **how):
    """An answer as the engine writes it, with log-probabilities."""
    request = Request(PROBLEM, ROOT, max_tokens=120, logprobs=2, **how)
    async with backend.open(request) as stream:
        async for _ in stream:
            pass
    return stream.trajectory.segment


def node(text):
    return ROOT.extend(Segment(text), child=0, clock=0)


async def test_a_greedy_answer_is_as_likely_when_it_is_read(vllm_backend):
    assert isinstance(vllm_backend, Reads)
    written = await drawn(vllm_backend, sampling=Sampling(temperature=0.0))
    read, _ = await vllm_backend.read(PROBLEM, ROOT, written, top=2)
    assert len(read.logprobs) == len(written.tokens) > 20
    assert read.tokens == written.tokens and read.text == written.text
    assert read.logprobs == pytest.approx(written.logprobs, abs=1e-3)
    for here, there in zip(read.top_logprobs, written.top_logprobs, strict=True):
        assert here == pytest.approx(there, abs=1e-3)


async def test_draws_are_as_likely_too_also_many_at_once(vllm_backend):
    hot = Sampling(temperature=2.0)
    written = await asyncio.gather(
        *(drawn(vllm_backend, sampling=hot, seed=seed) for seed in range(12))
    )
    found = await asyncio.gather(*(vllm_backend.read(PROBLEM, ROOT, each) for each in written))
    for (read, _), each in zip(found, written, strict=True):
        assert read.logprobs == pytest.approx(each.logprobs, abs=1e-3)
    assert min(min(each.logprobs) for each in written) < -5  # unlikely tokens among them


async def test_a_piece_is_as_likely_as_within_the_whole(vllm_backend):
    written = await drawn(vllm_backend, sampling=Sampling(temperature=0.0))
    first, second = written.tokens[:10], written.tokens[10:]
    head = ROOT.extend(
        Segment("", tokens=first, tokenizer=vllm_backend.model.tokenizer), child=0, clock=10
    )
    piece = Segment("", tokens=second, tokenizer=vllm_backend.model.tokenizer)
    read, _ = await vllm_backend.read(PROBLEM, head, piece)
    assert read.logprobs == pytest.approx(written.logprobs[10:], abs=1e-3)


async def test_transformers_says_the_same(vllm_backend):
    path = Path(tts.__file__).parent / "models" / "mini-reasoner"
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    head, given = node("7*3=21 => 12+21-5+40-6\n\n"), Segment("12+21=34 => 9")
    read, _ = await vllm_backend.read(PROBLEM, head, given)
    ids = [*vllm_backend.text.encode(PROBLEM, head), *read.tokens]
    with torch.inference_mode():
        law = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    start = len(ids) - len(read.tokens)
    expected = [law[at - 1, ids[at]].item() for at in range(start, len(ids))]
    assert read.logprobs == pytest.approx(expected, abs=1e-3)
    assert min(expected) < -3  # a wrong sum, which the model finds unlikely


async def test_what_was_read_is_charged_and_the_engine_counts_the_same(vllm_backend):
    stats = vllm_backend.stats
    before = stats.prompt_tokens, stats.cached_tokens, stats.generation_tokens
    head = node("7*3=21 => 12+21-5+40-6\n\n")
    for _ in range(2):  # the second time it might come from the prefix cache, and must not
        read, usage = await vllm_backend.read(PROBLEM, head, Segment("12+21=33"))
        assert usage.prompt_tokens == vllm_backend.prompt_tokens(PROBLEM, head) + 8
        assert (usage.cached_tokens, usage.completion_tokens, usage.calls) == (0, 1, 1)
    assert len(read.logprobs) == 8
    after = stats.prompt_tokens, stats.cached_tokens, stats.generation_tokens
    assert [b - a for a, b in zip(before, after, strict=True)] == [2 * usage.prompt_tokens, 0, 2]


async def test_a_text_may_fill_the_context_but_for_one_token(vllm_backend):
    room = vllm_backend.model.context - vllm_backend.prompt_tokens(PROBLEM, ROOT) - 1
    read, _ = await vllm_backend.read(PROBLEM, ROOT, Segment("7" * room))
    assert len(read.logprobs) == room
    with pytest.raises(ContextTooLong, match="exceed the context of 1024"):
        await vllm_backend.read(PROBLEM, ROOT, Segment("7" * (room + 1)))


async def test_what_cannot_be_read_is_refused_before_the_engine_sees_it(vllm_backend):
    before = vllm_backend.stats.prompt_tokens
    own = vllm_backend.model.tokenizer
    with pytest.raises(ConfigError, match="text that is to be read is empty"):
        await vllm_backend.read(PROBLEM, ROOT, Segment(""))
    with pytest.raises(ConfigError, match="outside the vocabulary of mini-reasoner"):
        await vllm_backend.read(PROBLEM, ROOT, Segment("", tokens=(4000,), tokenizer=own))
    with pytest.raises(ConfigError, match="500 log-probabilities a token were asked for"):
        await vllm_backend.read(PROBLEM, ROOT, Segment("7"), top=500)
    assert vllm_backend.stats.prompt_tokens == before


async def test_a_reading_that_is_called_off_leaves_the_engine_working(vllm_backend):
    given = Segment("7" * 900)
    readings = [asyncio.create_task(vllm_backend.read(PROBLEM, ROOT, given)) for _ in range(40)]
    await asyncio.sleep(0)
    for reading in readings[1:]:
        reading.cancel()
    outcomes = await asyncio.gather(*readings, return_exceptions=True)
    assert len(outcomes[0][0].logprobs) == 900
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[1:])
    assert vllm_backend.stats.requests == 0


def test_a_model_says_which_texts_it_has_tokens_for(vllm_backend):
    assert vllm_backend.spells("\\boxed{12}")
    assert not vllm_backend.spells("The answer is 12.")
