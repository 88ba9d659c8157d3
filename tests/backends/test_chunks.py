"""Chunks of every backend bring the log-probabilities of what they add, watched or not."""

from __future__ import annotations

import math

import pytest

from tests.backends.letters import ask, decode
from tts.backends.openai import OpenAIBackend
from tts.backends.rehearsal import Rehearsal
from tts.backends.replay import ReplayBackend
from tts.backends.simulated import SimulatedBackend, Step


def wavering(problem, node, seed):
    """Three tokens at a time, each group less likely than the one before."""
    number = len(node.text) // 3
    return Step("abc", 3, number == 5, logprob=-0.1 * (number + 1))


async def check(backend, *, most, watch):
    """What the chunks bring is what the segment has; returns the chunks."""
    request = ask(logprobs=most, watch=watch, max_tokens=40)
    stream, chunks = await decode(backend, request)
    segment = stream.trajectory.segment
    for name in ("logprobs", "top_logprobs"):
        whole, parts = getattr(segment, name), [getattr(chunk, name) for chunk in chunks]
        if whole is None:
            assert parts == [None] * len(chunks)
        else:
            assert tuple(value for part in parts for value in part) == whole
    for top in segment.top_logprobs or ():
        assert 0 < len(top) <= most
    assert (segment.top_logprobs is None) == (not most)
    assert (len(chunks) > 1) == watch
    return chunks


CASES = pytest.mark.parametrize("most", [None, 0, 3])
WATCH = pytest.mark.parametrize("watch", [False, True], ids=["whole", "watched"])


@CASES
@WATCH
async def test_of_a_simulation(most, watch):
    await check(SimulatedBackend(wavering), most=most, watch=watch)


async def test_the_rest_of_a_simulated_distribution_is_shared_evenly():
    (chunk,) = await check(SimulatedBackend(wavering), most=100, watch=False)
    for top, logprob in zip(chunk.top_logprobs, chunk.logprobs, strict=True):
        assert top[0] == logprob
        assert math.fsum(map(math.exp, top.values())) == pytest.approx(1)
        assert len({value for token, value in top.items() if token}) == 1


@CASES
@WATCH
@pytest.mark.parametrize("detail", [0, 3, 5])
async def test_of_a_record_of_more_and_of_less(tmp_path, most, watch, detail):
    inner = SimulatedBackend(wavering)
    async with ReplayBackend(inner, tmp_path) as backend:
        # Half of it is there, and the rest is asked for.
        await decode(backend, ask(logprobs=detail, watch=True, max_tokens=9))
        await check(backend, most=most, watch=watch)
        await check(backend, most=most, watch=watch)


@CASES
@WATCH
async def test_of_a_rehearsal(most, watch):
    backend = Rehearsal(SimulatedBackend(wavering), lambda *_: 100, lambda *_: "end")
    await check(backend, most=most, watch=watch)


@pytest.mark.engine
@CASES
@WATCH
async def test_of_the_real_engine_and_its_server(vllm_backend, vllm_server, most, watch):
    ours = await check(vllm_backend, most=most, watch=watch)
    async with OpenAIBackend("mini-reasoner", vllm_server.url) as backend:
        theirs = await check(backend, most=most, watch=watch)
    if most is not None:
        mine, yours = ([v for c in chunks for v in c.logprobs] for chunks in (ours, theirs))
        assert mine == pytest.approx(yours, abs=1e-3)
