"""The bundled engine behind the backend's interface, with the real engine and the bundled model."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

import tts
from tts.backends.vllm import VLLMBackend
from tts.errors import ConfigError, ContextTooLong, ModelNotFound
from tts.tasks.mini import MiniTask
from tts.testing import check_backend
from tts.types import Problem, Request, Sampling, Segment, Trajectory, Usage

pytestmark = pytest.mark.engine

GREEDY = Sampling(temperature=0.0)
PROBLEM = Problem.chat("p", "12+7*3-5+40-6=")


def ask(problem=PROBLEM, trajectory=None, **how) -> Request:
    return Request(problem, trajectory or Trajectory.root(), **{"max_tokens": 120, **how})


async def decode(backend, request):
    async with backend.open(request) as stream:
        chunks = [chunk async for chunk in stream]
    return stream, chunks


async def until(happened) -> None:
    """Wait until the engine's counts say that something has happened."""
    async with asyncio.timeout(10):
        while not happened():  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.005)


async def test_it_keeps_the_contract_of_backends(vllm_backend):
    await check_backend(vllm_backend, PROBLEM)


async def test_it_solves_a_problem(vllm_backend):
    result = await tts.solve("43+25=", strategy=tts.Greedy(), backend=vllm_backend, max_tokens=100)
    assert result.answer == "68"
    assert result.usage.flops > 0


async def test_a_cut_greedy_chain_is_the_uncut_one(vllm_backend):
    whole, _ = await decode(vllm_backend, ask(sampling=GREEDY))
    node, cached = Trajectory.root(), []
    while node.finish in (None, "length"):
        stream, _ = await decode(vllm_backend, ask(trajectory=node, sampling=GREEDY, max_tokens=25))
        node = stream.trajectory
        cached.append(stream.usage.cached_tokens)
        assert stream.usage.prompt_tokens == vllm_backend.prompt_tokens(PROBLEM, node.parent)
    assert node.text == whole.trajectory.text
    assert node.finish == whole.trajectory.finish == "stop"
    tokens = [token for segment in node.segments() for token in segment.tokens]
    assert tuple(tokens) == whole.trajectory.segment.tokens
    assert len(cached) > 2
    assert all(n > 0 for n in cached[2:])


async def test_text_injected_into_a_chain_is_continued(vllm_backend):
    first, _ = await decode(vllm_backend, ask(sampling=GREEDY, max_tokens=10))
    injected = Segment("\\boxed{", origin="injected")
    node = first.trajectory.extend(injected, child=0, clock=first.trajectory.clock)
    stream, _ = await decode(vllm_backend, ask(trajectory=node, sampling=GREEDY, max_tokens=10))
    assert stream.usage.prompt_tokens == first.usage.prompt_tokens + 10 + 1
    assert stream.trajectory.text.startswith(node.text)


async def test_tokens_of_another_tokenizer_are_spelled_anew(vllm_backend):
    foreign = Segment("12+", tokens=(4000, 4001), tokenizer="another")
    node = Trajectory.root().extend(foreign, child=0, clock=0)
    ours = vllm_backend.prompt_tokens(PROBLEM, node)
    assert ours == vllm_backend.prompt_tokens(PROBLEM, Trajectory.root()) + 3


async def test_watched_chunks_make_up_the_text(vllm_backend):
    stream, chunks = await decode(vllm_backend, ask(watch=True, seed=3))
    assert len(chunks) > 20
    assert "".join(chunk.text for chunk in chunks) == stream.trajectory.text
    tokens = [token for chunk in chunks for token in chunk.tokens]
    assert tuple(tokens) == stream.trajectory.segment.tokens
    # The end-of-sequence token is charged, and not kept.
    assert stream.usage.completion_tokens == len(tokens) + 1
    assert not vllm_backend.eos & set(tokens)


async def test_a_stop_string_ends_a_step_and_stays_in_the_text(vllm_backend):
    whole, _ = await decode(vllm_backend, ask(sampling=GREEDY))
    node, steps = Trajectory.root(), 0
    while node.finish in (None, "step"):
        request = ask(trajectory=node, sampling=GREEDY, stop=("\n\n",))
        stream, _ = await decode(vllm_backend, request)
        node = stream.trajectory
        steps += node.finish == "step"
        assert node.finish == "stop" or node.segment.text.endswith("\n\n")
    assert node.text == whole.trajectory.text
    assert steps == whole.trajectory.text.count("\n\n") > 2


@pytest.mark.parametrize("watch", [False, True])
async def test_a_stop_string_across_tokens_is_found(vllm_backend, watch):
    whole, _ = await decode(vllm_backend, ask(sampling=GREEDY))
    text = whole.trajectory.text
    stop = text[8:11]
    stream, _ = await decode(vllm_backend, ask(sampling=GREEDY, stop=(stop,), watch=watch))
    assert stream.trajectory.finish == "step"
    assert stream.trajectory.text == text[: text.index(stop) + len(stop)]


async def test_greedy_logprobs_are_those_of_the_likeliest_tokens(vllm_backend):
    stream, _ = await decode(vllm_backend, ask(sampling=GREEDY, logprobs=2, max_tokens=30))
    segment = stream.trajectory.segment
    assert len(segment.logprobs) == len(segment.tokens) == len(segment.top_logprobs) == 30
    for token, logprob, top in zip(
        segment.tokens, segment.logprobs, segment.top_logprobs, strict=True
    ):
        assert logprob <= 0
        assert len(top) == 2
        assert top[token] == max(top.values()) == logprob


async def test_logprobs_of_a_draw_do_not_depend_on_how_they_are_asked_for(vllm_backend):
    asked = ask(seed=9, logprobs=0)
    (one, _), (two, _) = await asyncio.gather(
        decode(vllm_backend, asked), decode(vllm_backend, replace(asked, watch=True))
    )
    assert one.trajectory.segment.tokens == two.trajectory.segment.tokens
    assert one.trajectory.logprobs == pytest.approx(two.trajectory.logprobs, abs=1e-4)
    assert one.trajectory.segment.top_logprobs is None


async def test_leaving_a_stream_frees_its_slot_and_charges_what_was_generated(vllm_backend):
    before = vllm_backend.stats.generation_tokens
    long = ask(max_tokens=900, watch=True)
    streams = []
    async with vllm_backend.open(replace(long, seed=0)) as staying:
        async for _ in staying:
            break
        for seed in range(1, 6):
            async with vllm_backend.open(replace(long, seed=seed)) as stream:
                async for _ in stream:
                    break
            streams.append(stream)
        await until(lambda: vllm_backend.stats.running == 1)
    streams.append(staying)
    assert vllm_backend.stats.running == 0
    generated = sum(stream.usage.completion_tokens for stream in streams)
    assert vllm_backend.stats.generation_tokens - before == generated
    assert {stream.trajectory.finish for stream in streams} == {"abort"}
    for stream in streams:
        assert len(stream.trajectory.segment.tokens) == stream.usage.completion_tokens > 0


@pytest.mark.parametrize("watch", [False, True])
async def test_a_cancelled_task_still_accounts(vllm_backend, watch):
    before = vllm_backend.stats.generation_tokens
    kept = []

    async def one(seed: int) -> None:
        async with vllm_backend.open(ask(max_tokens=900, seed=seed, watch=watch)) as stream:
            kept.append(stream)
            async for _ in stream:
                pass

    tasks = [asyncio.create_task(one(seed)) for seed in range(16)]
    await until(lambda: vllm_backend.stats.generation_tokens >= before + 100)
    for task in tasks:
        task.cancel()
    async with asyncio.timeout(2):
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    generated = sum(stream.usage.completion_tokens for stream in kept)
    assert vllm_backend.stats.generation_tokens - before == generated > 0
    assert all(stream.trajectory.text for stream in kept)


async def test_a_stream_left_before_its_first_token_ends_at_once(vllm_backend):
    before = vllm_backend.stats.generation_tokens
    async with asyncio.timeout(2):
        async with vllm_backend.open(ask(max_tokens=900)) as stream:
            pass
    assert stream.trajectory.finish == "abort"
    assert vllm_backend.stats.generation_tokens - before == stream.usage.completion_tokens


async def test_the_engine_counts_what_the_streams_charge(vllm_backend: VLLMBackend) -> None:
    stats = vllm_backend.stats
    start = (stats.prompt_tokens, stats.cached_tokens, stats.generation_tokens)
    task = MiniTask(n_problems=40)
    total = Usage()

    async def one(number: int, problem: Problem) -> Usage:
        request = ask(problem, seed=number, watch=number % 2 == 0, stop=("\n\n",) * (number % 3))
        async with vllm_backend.open(request) as stream:
            count = 0
            async for _ in stream:
                count += 1
                if number % 4 == 0 and count == 10:
                    break
        return stream.usage

    numbered = enumerate(item.problem for item in task.items)
    for usage in await asyncio.gather(*(one(*pair) for pair in numbered)):
        total = total + usage
    assert stats.generation_tokens - start[2] == total.completion_tokens
    assert stats.prompt_tokens - start[0] == total.prompt_tokens
    assert stats.cached_tokens - start[1] == total.cached_tokens


async def test_many_seeded_prompts_at_once_reproduce_what_one_draws_alone(vllm_backend):
    # Together far beyond the tokens of one step: with chunked prefill this kills the engine.
    digits = [f"{number}+{number % 7}=" for number in range(10, 90)]
    problems = [Problem(f"long {i}", prompt=text * 16) for i, text in enumerate(digits)]
    requests = [ask(p, seed=1000 + i, max_tokens=20) for i, p in enumerate(problems)]
    length = sum(vllm_backend.prompt_tokens(p, Trajectory.root()) for p in problems)
    assert length > 3 * vllm_backend.engine.config.arguments["max_num_batched_tokens"]
    together = await asyncio.gather(*(decode(vllm_backend, request) for request in requests))
    for number in range(0, len(requests), 16):
        alone, _ = await decode(vllm_backend, requests[number])
        assert alone.trajectory.segment.tokens == together[number][0].trajectory.segment.tokens
    drawn = {stream.trajectory.text for stream, _ in together}
    assert len(drawn) > 10


async def test_a_step_has_its_own_end(vllm_backend):
    stream, _ = await decode(vllm_backend, ask(max_tokens=5))
    assert stream.trajectory.finish == "length"
    assert stream.trajectory.clock == 5


async def test_bad_requests_are_refused_before_the_engine_sees_them(vllm_backend):
    before = vllm_backend.stats.prompt_tokens
    with pytest.raises(ContextTooLong, match=r"and 5000 to generate exceed the context of 1024"):
        await decode(vllm_backend, ask(max_tokens=5000))
    with pytest.raises(ConfigError, match="500 log-probabilities a token were asked for"):
        await decode(vllm_backend, ask(logprobs=500))
    with pytest.raises(ConfigError, match="A stop string is empty"):
        await decode(vllm_backend, ask(stop=("",)))
    with pytest.raises(ConfigError, match="max_tokens is 0"):
        await decode(vllm_backend, ask(max_tokens=0))
    with pytest.raises(ConfigError, match="chat template of mini-reasoner refuses problem 's'"):
        await decode(vllm_backend, ask(Problem.chat("s", "1+1=", system="Think.")))
    assert vllm_backend.stats.prompt_tokens == before


async def test_starting_again_and_together_is_harmless(vllm_backend):
    engine = vllm_backend.engine
    clients = await asyncio.gather(*(engine.client() for _ in range(5)), vllm_backend.start())
    assert len({id(client) for client in clients[:5]}) == 1


def test_an_engine_belongs_to_its_event_loop(vllm_backend):
    async def elsewhere() -> None:
        await vllm_backend.start()

    with pytest.raises(ConfigError, match="belongs to another event loop"):
        asyncio.run(elsewhere())


def test_a_model_that_is_not_there_is_refused_at_once():
    with pytest.raises(ModelNotFound, match=r"no model named 'mini-reasonr'\. Did you mean"):
        VLLMBackend("mini-reasonr")


def test_the_context_is_the_engines():
    backend = VLLMBackend("mini-reasoner", {"max_model_len": 300})
    assert backend.model.context == 300
    assert backend.model.name == "mini-reasoner"
