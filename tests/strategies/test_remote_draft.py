"""Two models on one chain, one of them in this process and the other behind a real vLLM server."""

from __future__ import annotations

import pytest

import tts
from tts.backends.openai import OpenAIBackend
from tts.strategies import GlimpRouter
from tts.tasks.mini import MiniTask
from tts.types import Sampling


async def chain(task, problem, backend, draft):
    return await tts.solve(
        problem,
        strategy=GlimpRouter(threshold=0.3),
        backend=backend,
        draft=draft,
        answers=task.answers,
        sampling=Sampling(temperature=0.0),
        max_tokens=160,
    )


@pytest.mark.engine
async def test_the_draft_model_may_be_on_a_server(vllm_backend, vllm_server):
    task = MiniTask(n_problems=6)
    async with OpenAIBackend("mini-reasoner", vllm_server.url) as remote:
        for item in task.items:
            here = await chain(task, item.problem, vllm_backend, vllm_backend)
            there = await chain(task, item.problem, vllm_backend, remote)
            back = await chain(task, item.problem, remote, vllm_backend)
            # One model on both sides: whoever writes, greedily, writes the same.
            assert there.best.trajectory.text == here.best.trajectory.text
            assert back.best.trajectory.text == here.best.trajectory.text
            assert there.details["authors"] == here.details["authors"]
            assert 0 < there.usage.draft_tokens == here.usage.draft_tokens
