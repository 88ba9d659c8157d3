"""Audits on real engines: what must be alike, what must be told apart, and a run of yesterday.

The session's engine is the reference, and the regression check of the others: another process with
another configuration must behave as it does.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import pytest_asyncio

import tts
from tests.engine.rounded import checkpoint_with, in_four_bits
from tests.engine_fixtures import other_peoples_warnings
from tts.audit import Plan, audit, reread, write, written_in
from tts.audit.collect import as_text
from tts.backends.openai import OpenAIBackend
from tts.backends.vllm import VLLMBackend
from tts.errors import ConfigError
from tts.evaluation import Arm, Names, Store, evaluate
from tts.solve import Setup
from tts.tasks.mini import MiniTask
from tts.types import Sampling

pytestmark = pytest.mark.engine

TASK = MiniTask(n_problems=120)
PLAN = Plan(
    problems=[item.problem for item in TASK],
    sampling=Sampling(0.8, top_p=0.98),
    max_tokens=224,
    sequences=24,
    tokens=100,
    seed=1,
)
WIDE = 0.2  # for few sequences


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def four_bits(tmp_path_factory):
    """What a model with the weights of 4 bits writes."""
    path = checkpoint_with(tmp_path_factory.mktemp("model") / "w4", in_four_bits)
    with other_peoples_warnings():
        async with VLLMBackend(str(path), {"max_model_len": 512}) as backend:
            yield await write(backend, backend, PLAN, "candidate", int)


async def test_another_configuration_of_the_engine_is_alike(vllm_backend, vllm_server):
    """A server: other sizes, other batches, another process; its draws are seeded alike."""
    async with OpenAIBackend("mini-reasoner", vllm_server.url) as remote:
        texts = await write(remote, vllm_backend, PLAN, "candidate", int)
    found = await audit(vllm_backend, texts, PLAN, tolerance=WIDE)
    assert found.noise and found.sure > 12 and found.holds
    assert found.verdict == "alike"
    assert found.candidate.drawn_otherwise < 1e-3 and found.candidate.mean < 1e-4
    assert found.points[-1].candidate.mean == pytest.approx(0.5, abs=0.05)


async def test_four_bits_are_told_apart(vllm_backend, four_bits):
    found = await audit(vllm_backend, four_bits, PLAN, tolerance=WIDE)
    assert found.verdict == "different" and found.holds
    assert found.points[-1].candidate.mean > 0.7 > found.points[0].candidate.mean
    assert 0.005 < found.candidate.drawn_otherwise < 0.05
    assert found.honest.drawn_otherwise == found.again.drawn_otherwise == 0
    assert found.usage.prompt_tokens > 3 * 24 * 100


async def test_noise_that_is_another_ones_is_not_believed(vllm_backend, four_bits):
    texts = [replace(each, seed=number) for number, each in enumerate(four_bits)]
    plan = replace(PLAN, sequences=20)
    found = await audit(vllm_backend, texts, plan, tolerance=WIDE)
    assert not found.noise and abs(found.sure) < 4
    assert found.honest.drawn_otherwise > 0.01  # not the likeliest tokens


async def test_texts_without_tokens_are_spelled_by_the_reference(vllm_backend):
    written = await write(vllm_backend, vllm_backend, PLAN, "honest", int)
    plan = replace(PLAN, sequences=20)
    found = await audit(vllm_backend, as_text(written), plan, tolerance=0.3)
    assert not found.noise and found.verdict != "different"
    assert found.candidate.mean == found.honest.mean > 0  # the very same draws


async def test_a_run_can_be_audited_later(vllm_backend, tmp_path):
    """Its texts are read with the noise of their draws, which follow from what was recorded."""
    task = MiniTask(n_problems=24)
    setup = Setup(
        strategy=tts.SelfConsistency(n=2),
        backend=vllm_backend,
        max_tokens=224,
        sampling=PLAN.sampling,
        seed=5,
    )
    names = Names(strategy_name="votes", task="mini", model="mini-reasoner", backend="vllm")
    arm = Arm("votes", setup, names, keep="tokens")
    with Store(tmp_path, {"votes": arm.expected(task)}) as store:
        await evaluate(task, arm, store=store)
    problems = {item.problem.id: item.problem for item in task}
    texts = written_in(tmp_path, "votes", problems, PLAN.sampling)
    assert len(texts) == 48 and all(each.seed is not None for each in texts)
    readings, usage = await reread(vllm_backend, texts, PLAN, int)
    assert all((reading.noisy < 1e-4).all() for reading in readings)
    assert usage.calls == 48
    found = await audit(vllm_backend, texts, replace(PLAN, sequences=30), tolerance=WIDE)
    assert found.noise and found.verdict == "alike"
    with pytest.raises(ConfigError, match="make 9 sequences of 400 tokens"):
        await audit(vllm_backend, texts, replace(PLAN, tokens=400))
