"""The backend on vLLM's own server: the same model, and the same answers, as in process."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import pytest
import pytest_asyncio

import tts
from tests.servers.cutting import cutting
from tests.servers.fixtures import GREEDY, ask, decode, until
from tts.backends.openai import OpenAIBackend
from tts.engine.models import BUNDLED
from tts.errors import CapabilityMissing, ConfigError, ContextTooLong, ModelNotFound
from tts.tasks import MiniTask
from tts.testing import check_backend
from tts.types import (
    Capability,
    Message,
    Problem,
    Sampling,
    Segment,
    Steering,
    Structure,
    Trajectory,
    Usage,
)

pytestmark = pytest.mark.engine

MODEL = "mini-reasoner"
CHAT = Problem.chat("chat", "12+7*3-5+40-6=")
TEXT = Problem("text", prompt="12+7*3-5+40-6=")
TURNS = Problem(
    "turns",
    messages=(
        Message("user", "7+5="),
        Message("assistant", "7+5=12\n\n\\boxed{12}"),
        Message("user", "9+8-3="),
    ),
)
PROBLEMS = [item.problem for item in MiniTask(n_problems=6).items]
MODES = ["tokens", "chat", "completions"]


def made(server, mode, **how):
    """A backend that sends ids, or text where the tokenizer is not at hand."""
    if mode == "tokens":
        return OpenAIBackend(MODEL, server.url, **how)
    with server.elsewhere():
        return OpenAIBackend(MODEL, server.url, api=mode, **how)


@pytest_asyncio.fixture(params=MODES)
async def remote(vllm_server, request):
    async with made(vllm_server, request.param) as backend:
        yield backend


@pytest_asyncio.fixture
async def tokens(vllm_server):
    async with made(vllm_server, "tokens") as backend:
        yield backend


@pytest_asyncio.fixture
async def chat(vllm_server):
    async with made(vllm_server, "chat") as backend:
        yield backend


def problem_for(backend):
    return TEXT if backend.identity()["api"] == "completions" else CHAT


@pytest.mark.parametrize(
    ("structure", "pattern"),
    [
        (Structure(regex="[0-9]{3}-[0-9]{2}"), r"\d{3}-\d{2}"),
        (Structure(regex=r"[0-9]{1,3}\}", after="\\boxed{"), r"(?s).*\\boxed\{\d{1,3}\}"),
    ],
)
async def test_answers_keep_to_a_structure(remote, structure, pattern):
    remote.check_structure(structure)
    how = {"sampling": Sampling(temperature=0.8), "max_tokens": 400, "structure": structure}
    requests = [ask(problem_for(remote), child=n, seed=n, **how) for n in range(4)]
    streams = await asyncio.gather(*(decode(remote, request) for request in requests))
    texts = [stream.trajectory.text for stream in streams]
    assert all(re.fullmatch(pattern, text) for text in texts), texts


async def test_a_structure_that_the_server_refuses_is_bad_input(tokens):
    with pytest.raises(ConfigError):
        await decode(tokens, ask(CHAT, structure=Structure(regex="[0-9")))


def all_tokens(node):
    return tuple(token for segment in node.segments() for token in segment.tokens)


async def test_it_keeps_the_contract_of_backends(remote):
    await check_backend(remote, problem_for(remote))


async def test_its_capabilities_are_those_of_its_mode(vllm_server, tokens, chat):
    text = {
        Capability.CONTINUATION, Capability.LOGPROBS, Capability.SEEDS, Capability.STRUCTURED,
    }  # fmt: skip
    assert chat.capabilities == text
    assert tokens.capabilities == {*text, Capability.TOKEN_IDS, Capability.LOGITS_PROCESSORS}
    assert tokens.model.context == 512
    with vllm_server.elsewhere():
        named = OpenAIBackend(MODEL, vllm_server.url, tokenizer=str(BUNDLED / MODEL))
        unknown = OpenAIBackend(MODEL, vllm_server.url)
    assert named.capabilities == tokens.capabilities
    assert unknown.capabilities == text
    assert "0." in tokens.provenance()["version"]


@pytest.mark.parametrize("problem", [*PROBLEMS, TURNS, TEXT], ids=lambda p: p.id)
async def test_greedy_answers_are_those_of_the_bundled_engine(vllm_backend, tokens, chat, problem):
    request = ask(problem, sampling=GREEDY, max_tokens=200, logprobs=2)
    here = await decode(vllm_backend, request)
    there = await decode(tokens, request)
    mine, theirs = here.trajectory.segment, there.trajectory.segment
    assert theirs.tokens == mine.tokens
    assert theirs.text == mine.text
    assert there.trajectory.finish == here.trajectory.finish
    assert there.usage.prompt_tokens == here.usage.prompt_tokens
    assert there.usage.completion_tokens == here.usage.completion_tokens
    assert theirs.logprobs == pytest.approx(mine.logprobs, abs=1e-3)
    for ours, own in zip(theirs.top_logprobs, mine.top_logprobs, strict=True):
        assert set(ours) == set(own)
    if problem.messages:
        spoken = await decode(chat, ask(problem, sampling=GREEDY, max_tokens=200, logprobs=0))
        assert spoken.trajectory.text == mine.text
        assert spoken.usage.prompt_tokens == here.usage.prompt_tokens
        assert spoken.usage.completion_tokens == here.usage.completion_tokens
        assert spoken.trajectory.logprobs == pytest.approx(mine.logprobs, abs=1e-3)


async def test_biases_steer_as_on_the_bundled_engine(vllm_backend, tokens):
    steering = Steering({"7": 3.0}, banned=("+", "Wait"))
    for seed in range(5):
        request = ask(CHAT, seed=seed, steering=steering)
        here, there = await decode(vllm_backend, request), await decode(tokens, request)
        assert there.trajectory.segment.tokens == here.trajectory.segment.tokens
        assert "7" in here.trajectory.text and "+" not in here.trajectory.text


@pytest.mark.parametrize(
    ("steering", "error", "words"),
    [
        (Steering(temperatures={"7": 2.0}), CapabilityMissing, "temperatures of single tokens"),
        (Steering({"7": 200.0}), ConfigError, "exceeds 100"),
        (Steering({"Wait": 1.0}), ConfigError, "'Wait', which is not exactly one token"),
    ],
)
async def test_what_the_protocol_cannot_say_is_refused(tokens, steering, error, words):
    with pytest.raises(error, match=words):
        await decode(tokens, ask(CHAT, steering=steering))
    assert tokens.stats.requests == 0


async def test_the_tokenizer_of_both_is_one(vllm_backend, tokens):
    assert tokens.model.tokenizer == vllm_backend.model.tokenizer
    for problem in PROBLEMS:
        ours = tokens.prompt_tokens(problem, Trajectory.root())
        assert ours == vllm_backend.prompt_tokens(problem, Trajectory.root())


async def test_seeds_reproduce_what_was_drawn(remote):
    problem = problem_for(remote)
    requests = [ask(problem, seed=seed, watch=seed % 2 > 0) for seed in (1, 2, 3, 1 << 47)]
    runs = [await asyncio.gather(*(decode(remote, r) for r in requests)) for _ in range(2)]
    texts = [[stream.trajectory.text for stream in run] for run in runs]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 1


async def test_seeded_draws_are_those_of_the_bundled_engine(vllm_backend, tokens):
    for seed in range(5):
        here = await decode(vllm_backend, ask(CHAT, seed=seed))
        there = await decode(tokens, ask(CHAT, seed=seed))
        assert all_tokens(there.trajectory) == all_tokens(here.trajectory)


async def test_leaving_a_stream_ends_the_work_on_the_server(vllm_server, remote):
    requests = [ask(problem_for(remote), seed=seed, max_tokens=450) for seed in range(4)]
    whole = await asyncio.gather(*(decode(remote, request) for request in requests))
    before = vllm_server.gauge("generation_tokens_total")
    for request in requests:
        async with remote.open(replace(request, watch=True)) as stream:
            async for _ in stream:
                break
        assert stream.usage.completion_tokens >= 1
    await until(lambda: vllm_server.gauge("num_requests_running") == 0)
    spent = vllm_server.gauge("generation_tokens_total") - before
    assert spent < sum(each.usage.completion_tokens for each in whole)  # else all ran to their ends


async def test_cancelling_ends_the_work_on_the_server(vllm_server, remote):
    requests = [ask(problem_for(remote), seed=seed, max_tokens=450) for seed in range(64)]
    whole = await asyncio.gather(*(decode(remote, request) for request in requests))
    before = vllm_server.gauge("generation_tokens_total")
    tasks = [asyncio.create_task(decode(remote, request)) for request in requests]
    await until(lambda: vllm_server.gauge("generation_tokens_total") > before)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: vllm_server.gauge("num_requests_running") == 0)
    spent = vllm_server.gauge("generation_tokens_total") - before
    assert spent < sum(each.usage.completion_tokens for each in whole)


async def test_a_chain_cut_into_pieces_is_the_uncut_one(remote):
    problem = problem_for(remote)
    whole = await decode(remote, ask(problem, sampling=GREEDY))
    node, prompts = Trajectory.root(), []
    while node.finish in (None, "length") and node.clock < 100:
        stream = await decode(remote, ask(problem, node, sampling=GREEDY, max_tokens=20))
        node = stream.trajectory
        prompts.append(stream.usage.prompt_tokens)
    assert node.text == whole.trajectory.text
    assert node.clock == whole.trajectory.clock
    assert prompts == [prompts[0] + 20 * i for i in range(len(prompts))]


async def test_steps_end_at_stop_strings_and_keep_them(remote):
    problem = problem_for(remote)
    whole = await decode(remote, ask(problem, sampling=GREEDY))
    node, steps = Trajectory.root(), 0
    while node.finish in (None, "step"):
        stream = await decode(remote, ask(problem, node, sampling=GREEDY, stop=("\n\n",)))
        node = stream.trajectory
        steps += node.finish == "step"
        if node.clock > 200:
            break
    assert node.text.startswith(whole.trajectory.text[:100])
    assert steps == node.text.count("\n\n") > 1


@pytest.mark.parametrize("watch", [False, True])
async def test_a_stop_string_across_tokens_is_found(remote, watch):
    problem = problem_for(remote)
    text = (await decode(remote, ask(problem, sampling=GREEDY))).trajectory.text
    stop = text[8:11]
    stream = await decode(remote, ask(problem, sampling=GREEDY, stop=(stop,), watch=watch))
    assert stream.trajectory.finish == "step"
    assert stream.trajectory.text == text[: text.index(stop) + len(stop)]


async def test_injected_text_is_continued(remote):
    problem = problem_for(remote)
    first = await decode(remote, ask(problem, sampling=GREEDY, max_tokens=10))
    node = first.trajectory.extend(Segment("\n\n\\boxed{", origin="injected"), child=0, clock=10)
    stream = await decode(remote, ask(problem, node, sampling=GREEDY, max_tokens=10))
    assert stream.trajectory.text.startswith(node.text)
    assert stream.usage.prompt_tokens == first.usage.prompt_tokens + 10 + 2


async def test_the_accounts_are_those_of_the_server(vllm_server, remote):
    names = ("prompt_tokens_total", "generation_tokens_total")
    before = [vllm_server.gauge(name) for name in names]
    base = problem_for(remote)
    requests = [
        ask(base, seed=seed, watch=seed % 2 > 0, stop=("\n\n",) * (seed % 3)) for seed in range(30)
    ]
    total = Usage()
    for stream in await asyncio.gather(*(decode(remote, request) for request in requests)):
        total = total + stream.usage
    spent = [vllm_server.gauge(name) - b for name, b in zip(names, before, strict=True)]
    assert spent == [total.prompt_tokens, total.completion_tokens]
    assert remote.stats.estimated_requests == 0


async def test_it_solves_problems(tokens, chat):
    for backend in (tokens, chat):
        result = await tts.solve(
            "43+25=",
            strategy=tts.BestOfN(n=4),
            verifier=tts.Likelihood(),
            backend=backend,
            max_tokens=100,
        )
        assert result.answer == "68"
        assert result.usage.calls == 4


@pytest.mark.parametrize("mode", MODES)
async def test_a_cut_stream_is_continued(vllm_server, mode):
    problem = TEXT if mode == "completions" else CHAT
    request = ask(problem, sampling=GREEDY, logprobs=0, watch=True)
    with cutting(vllm_server.port) as proxy:
        async with made(vllm_server, mode) as direct:
            whole = await decode(direct, request)
        with vllm_server.elsewhere():
            tokenizer = str(BUNDLED / MODEL) if mode == "tokens" else None
            api = "auto" if mode == "tokens" else mode
            how = {"tokenizer": tokenizer, "api": api}
            backend = OpenAIBackend(MODEL, proxy.url, **how)
        proxy.cuts.extend([7, 1, 12])
        async with backend:
            joined = await decode(backend, request)
        assert proxy.streams == 4
    assert joined.trajectory.text == whole.trajectory.text
    assert joined.trajectory.segment.tokens == whole.trajectory.segment.tokens
    assert joined.trajectory.logprobs == pytest.approx(whole.trajectory.logprobs, abs=1e-3)
    assert joined.usage.prompt_tokens == whole.usage.prompt_tokens
    assert joined.usage.completion_tokens == whole.usage.completion_tokens
    assert backend.stats.cut_streams == 3


async def test_what_does_not_fit_the_context_is_refused(tokens, chat):
    with pytest.raises(ContextTooLong):
        await decode(tokens, ask(CHAT, max_tokens=600))
    with pytest.raises(ContextTooLong):
        await decode(chat, ask(CHAT, max_tokens=600))


async def test_a_conversation_that_the_template_refuses_is_an_error(tokens, chat):
    problem = Problem.chat("s", "1+1=", system="Think.")
    for backend in (tokens, chat):
        with pytest.raises(ConfigError):
            await decode(backend, ask(problem))


def test_an_unknown_model_is_named_with_what_there_is(vllm_server):
    with pytest.raises(ModelNotFound, match=r"'mini-resoner'.*'mini-reasoner'"):
        OpenAIBackend("mini-resoner", vllm_server.url)


def test_an_address_without_its_end_is_named(vllm_server):
    with pytest.raises(ConfigError, match=r"backend\.base_url"):
        OpenAIBackend(MODEL, vllm_server.url.removesuffix("/v1"))
