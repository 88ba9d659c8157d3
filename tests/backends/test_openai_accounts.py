"""What a decode on a server costs: what the server counts, or a bound where it does not."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest

from tests.backends.test_openai_faults import REFUSALS
from tests.servers.fixtures import (
    ANSWER,
    CHAT,
    GREEDY,
    SIZE,
    TEXT,
    accounts,
    ask,
    decode,
    text_of,
    truth,
    until,
)
from tests.servers.scripted import Act, tokens, written
from tts.types import Problem, Trajectory


@pytest.mark.parametrize("watch", [False, True])
@pytest.mark.parametrize("problem", [TEXT, CHAT], ids=["text", "chat"])
async def test_missing_counts_are_bounded_from_above(serve, connect, problem, watch):
    server = serve(usage=False)
    backend = connect(server)
    streams = [await decode(backend, ask(problem, watch=watch)) for _ in range(3)]
    prompt, completion = truth(*server.calls)
    assert prompt <= accounts(*streams)[0]
    assert completion - 3 <= accounts(*streams)[1] <= sum(len(text_of(s).encode()) for s in streams)
    assert backend.stats.estimated_requests == 3


async def test_a_missing_count_of_an_answer_at_its_cap_is_the_cap(serve, connect):
    backend = connect(serve(usage=False))
    stream = await decode(backend, ask(max_tokens=6))
    assert stream.trajectory.finish == "length"
    assert stream.usage.completion_tokens == 6


async def test_whatever_fails_the_books_are_right(serve, connect):
    server, chance = serve(vllm=True), random.Random(4)
    backend = connect(server, retries=40)
    for _ in range(150):
        then = Act(then=chance.choice(["hang up", "end"]), at=chance.randint(0, 6))
        server.acts.append(chance.choice([Act(), then, *REFUSALS]))
    questions = [f"{chance.random()}?" for _ in range(60)]
    problems = [
        Problem(q, prompt=q) if i % 2 else Problem.chat(q, q) for i, q in enumerate(questions)
    ]
    requests = [ask(p, sampling=GREEDY, watch=i % 3 > 0) for i, p in enumerate(problems)]
    streams = await asyncio.gather(*(decode(backend, request) for request in requests))
    assert [text_of(s) for s in streams] == [written(q, 0) for q in questions]
    server.acts.clear()
    calls = len(server.calls)
    again = [await decode(backend, request) for request in requests]
    assert [s.usage for s in streams] == [s.usage for s in again]
    assert accounts(*again) == truth(*server.calls[calls:])
    assert backend.stats.cut_streams > 10


@pytest.mark.parametrize("traits", [{"vllm": True}, {}], ids=["vllm", "generic"])
async def test_leaving_a_stream_hangs_up_and_charges_what_came(serve, connect, traits):
    server = serve(**traits)
    backend = connect(server)
    server.acts.append(Act(then="stall", at=3))
    async with backend.open(ask(watch=True)) as stream:
        seen = ""
        async for chunk in stream:
            seen += chunk.text
            if len(tokens(seen)) == 3:
                break
    await until(lambda: server.running == 0)
    assert text_of(stream) == seen
    assert stream.trajectory.finish == "abort"
    assert stream.usage.completion_tokens >= server.calls[0].completion_tokens == 3
    if traits:
        assert stream.usage.completion_tokens == 3


async def test_an_unwatched_request_that_is_left_is_charged_in_full(serve, connect):
    server = serve()
    server.usual = Act(hold=True)
    backend = connect(server)
    async with backend.open(ask(max_tokens=50)) as stream:
        await until(lambda: server.running == 1)
    await until(lambda: server.running == 0)
    assert stream.usage.completion_tokens == 50
    assert stream.usage.prompt_tokens >= 2


# --- stop strings and thinking --------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["\n\n", ANSWER[3:12]])
async def test_a_generic_servers_stop_strings_are_found_here_and_kept(serve, connect, stop):
    server = serve()
    backend = connect(server)
    stream = await decode(backend, ask(sampling=GREEDY, stop=(stop,)))
    kept = ANSWER[: ANSWER.index(stop) + len(stop)]
    assert "stop" not in server.calls[0].body
    assert server.calls[0].body["stream"]
    assert text_of(stream) == kept
    assert stream.trajectory.finish == "step"
    assert stream.usage.completion_tokens >= len(tokens(kept))


async def test_vllm_stops_by_itself_and_says_why(serve, connect):
    server = serve(vllm=True)
    backend, node = connect(server), Trajectory.root()
    while node.finish in (None, "step"):
        stream = await decode(backend, ask(CHAT, node, sampling=GREEDY, stop=("\n\n",)))
        node = stream.trajectory
    assert node.text == ANSWER
    assert node.depth == ANSWER.count("\n\n") + 1 == len(server.calls)
    starts = [call.body["messages"][-1]["content"] for call in server.calls[1:]]
    assert all(a in b for a, b in pairwise(starts))


@pytest.mark.parametrize("watch", [False, True])
@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_thinking_is_part_of_the_text(serve, connect, field, watch):
    backend = connect(serve(thinking=field))
    stream = await decode(backend, ask(CHAT, sampling=GREEDY, watch=watch))
    pieces = tokens(ANSWER)
    thought, rest = "".join(pieces[:4]), "".join(pieces[4:])
    assert text_of(stream) == f"<think>{thought}</think>{rest}"
    assert stream.usage.completion_tokens == SIZE
