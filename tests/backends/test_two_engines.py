"""Two models on two real engines in one process, writing on one chain."""

from __future__ import annotations

import math

import pytest
import pytest_asyncio

import tts
from tests.engine_fixtures import other_peoples_warnings
from tts.backends.vllm import VLLMBackend
from tts.engine.memory import tenants
from tts.solve import Setup
from tts.strategies import GlimpRouter, SpecReason
from tts.tasks import MiniTask
from tts.testing import LengthVerifier
from tts.types import Sampling

GREEDY = Sampling(temperature=0.0)
PROBLEMS = [item.problem for item in MiniTask((2, 4), n_problems=6)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def large():
    """The larger model, on an engine beside that of `vllm_backend`."""
    with other_peoples_warnings():
        backend = VLLMBackend("mini-reasoner-l", {"max_model_len": 1024})
        await backend.start()
    yield backend
    with other_peoples_warnings():
        await backend.aclose()


async def texts(strategy, backend, **options):
    found = tts.solve_all(
        PROBLEMS,
        strategy=strategy,
        backend=backend,
        **{"sampling": GREEDY, "max_tokens": 224, **options},
    )
    return {r.problem_id: (r.best.trajectory.text, r) async for r in found}


@pytest.mark.engine
async def test_they_share_one_machine(vllm_backend, large):
    running = {t.footprint.name: t.taken for t in tenants(on_gpu=False)}
    assert running["mini-reasoner"] and running["mini-reasoner-l"]


@pytest.mark.engine
async def test_one_model_alone_is_what_the_extreme_thresholds_give(vllm_backend, large):
    small = vllm_backend
    alone = {b: await texts(tts.Greedy(), b) for b in (small, large)}
    assert any(alone[small][p.id][0] != alone[large][p.id][0] for p in PROBLEMS)
    for strategy, writer in (
        (GlimpRouter(threshold=math.inf), small),
        (GlimpRouter(threshold=0), large),
        (SpecReason(threshold=0), small),
        (SpecReason(threshold=10), large),
    ):
        both = await texts(strategy, large, draft=small, verifier=LengthVerifier())
        for problem in PROBLEMS:
            text, result = both[problem.id]
            assert text == alone[writer][problem.id][0]
            assert result.details["large_share"] == (writer is large)
            if strategy == GlimpRouter(threshold=math.inf):
                # The glimpse is kept: not a token more than alone.
                due = alone[small][problem.id][1].usage.completion_tokens
                assert result.usage.completion_tokens == result.usage.draft_tokens == due


@pytest.mark.engine
async def test_a_mixed_chain_is_sent_in_ids_and_paid_by_model(vllm_backend, large):
    small = vllm_backend
    both = await texts(
        GlimpRouter(threshold=0.3), large, draft=small, sampling=Sampling(temperature=0.8)
    )
    shares = []
    for text, result in both.values():
        details, usage = result.details, result.usage
        assert text.count("\n\n") <= sum(details["steps"].values())
        assert all(0 <= h <= math.log(20) for h in details["entropies"])
        assert 0 < usage.draft_tokens < usage.completion_tokens or not details["steps"]["large"]
        assert all(s.tokens and s.tokenizer == large.model.tokenizer
                   for s in result.best.trajectory.segments() if s.text)  # fmt: skip
        known = [s for node in result.tree for s in node.segments()]
        assert all(s.text == small.text.decode(s.tokens) for s in known)
        cheapest = small.model.flops(0, usage.completion_tokens)
        dearest = large.model.flops(0, usage.prompt_tokens + usage.completion_tokens)
        assert cheapest < usage.flops < dearest
        shares.append(details["large_share"])
    assert 0 < sum(shares) < len(shares)


@pytest.mark.engine
async def test_they_know_their_vocabulary(vllm_backend, large):
    digits = {large.word(large.text.token_id(d)) for d in "0123456789"}
    assert digits == set("0123456789")
    assert large.word(large.text.token_id("<|user|>")) == large.word(10**6) == ""
    assert large.is_token("<|user|>") and not large.is_token("</think>")
    Setup(GlimpRouter(), large, draft=vllm_backend)
