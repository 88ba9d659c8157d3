"""Replies that are lost on their way: continued, asked again as the same draw, or an error."""

from __future__ import annotations

import pytest

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
)
from tests.servers.scripted import Act, tokens, written
from tts.errors import BackendError

CUTS = [Act(then=then, at=at) for then in ("hang up", "end") for at in (1, 4, SIZE - 2)]


@pytest.mark.parametrize("act", CUTS, ids=str)
@pytest.mark.parametrize("problem", [TEXT, CHAT], ids=["text", "chat"])
async def test_a_cut_stream_is_continued_where_vllm_serves(serve, connect, act, problem):
    server = serve(vllm=True)
    backend = connect(server)
    server.acts.append(act)
    stream = await decode(backend, ask(problem, sampling=GREEDY, watch=True))
    first, second = server.calls
    assert text_of(stream) == ANSWER
    assert stream.trajectory.depth == 1
    assert accounts(stream) == (first.prompt_tokens, SIZE)
    assert truth(first, second)[1] == SIZE
    assert first.completion_tokens == act.at
    assert second.body["max_tokens"] == 100 - act.at
    assert backend.stats.cut_streams == 1
    assert backend.stats.resent_prompt_tokens >= first.prompt_tokens
    if problem is CHAT:
        assert second.body["continue_final_message"]
        assert not second.body["add_generation_prompt"]
        assert ANSWER.startswith(second.body["messages"][-1]["content"])


async def test_a_cut_stream_keeps_its_log_probabilities(serve, connect):
    server = serve(vllm=True)
    server.acts.append(Act(then="hang up", at=4))
    stream = await decode(connect(server), ask(sampling=GREEDY, watch=True, logprobs=0))
    assert stream.trajectory.logprobs == tuple(-len(t) / 10 for t in tokens(ANSWER))


async def test_a_stream_that_is_cut_again_and_again_is_put_together(serve, connect):
    server = serve(vllm=True)
    server.acts.extend([Act(then="hang up", at=2), Act(429), Act(then="hang up", at=1), Act(500)])
    stream = await decode(connect(server), ask(sampling=GREEDY, watch=True))
    assert text_of(stream) == ANSWER
    assert accounts(stream) == (server.calls[0].prompt_tokens, SIZE)


async def test_a_cut_before_the_first_word_is_no_loss(serve, connect):
    server = serve()
    server.acts.append(Act(then="hang up"))
    stream = await decode(connect(server), ask(CHAT, watch=True))
    assert accounts(stream) == truth(*server.calls)


async def test_a_cut_at_the_cap_asks_for_nothing_more(serve, connect):
    server = serve(vllm=True)
    server.acts.append(Act(then="hang up", at=4))
    stream = await decode(connect(server), ask(sampling=GREEDY, watch=True, max_tokens=4))
    assert text_of(stream) == "".join(tokens(ANSWER)[:4])
    assert stream.trajectory.finish == "length"
    assert accounts(stream) == truth(*server.calls)


async def test_plain_prompts_are_continued_anywhere(serve, connect):
    server = serve()
    server.acts.append(Act(then="hang up", at=5))
    stream = await decode(connect(server), ask(sampling=GREEDY, watch=True))
    first, second = server.calls
    assert text_of(stream) == ANSWER
    assert second.body["prompt"] == "why?" + "".join(tokens(ANSWER)[:5])
    # Nothing tells how many tokens had come: the accounts hold at least as many.
    assert stream.usage.completion_tokens >= SIZE
    assert stream.usage.prompt_tokens >= first.prompt_tokens
    assert second.body["max_tokens"] <= 95


async def test_a_prompt_that_was_sent_twice_is_paid_once(serve, connect):
    server = serve(logprobs=True)  # so that it is known how much had come, and nothing else is
    server.acts.append(Act(then="hang up", at=5))
    backend = connect(server, logprobs=True)
    stream = await decode(backend, ask(sampling=GREEDY, watch=True, logprobs=0))
    assert text_of(stream) == ANSWER
    assert server.calls[1].prompt_tokens == server.calls[0].prompt_tokens + 5
    assert accounts(stream) == (server.calls[0].prompt_tokens, SIZE)


@pytest.mark.parametrize("act", CUTS, ids=str)
async def test_a_cut_stream_that_cannot_be_continued_is_an_error(serve, connect, act):
    server = serve()
    server.acts.append(act)
    with pytest.raises(BackendError, match="cut"):
        await decode(connect(server), ask(CHAT, watch=True))
    assert len(server.calls) == 1  # another draw would favour short answers


async def test_a_cut_thought_is_not_continued_as_an_answer(serve, connect):
    server = serve(vllm=True, thinking="reasoning")
    server.acts.append(Act(then="hang up", at=2))
    with pytest.raises(BackendError, match="cut"):
        await decode(connect(server), ask(CHAT, watch=True))


async def test_a_stream_that_falls_silent_is_continued(serve, connect):
    server = serve(vllm=True)
    server.acts.append(Act(then="stall", at=3))
    backend = connect(server, stall_seconds=0.2)
    stream = await decode(backend, ask(sampling=GREEDY, watch=True))
    assert text_of(stream) == ANSWER
    assert accounts(stream) == (server.calls[0].prompt_tokens, SIZE)


LOST = [Act(then="hang up", at=1), Act(then="stall")]


@pytest.mark.parametrize("act", LOST, ids=str)
async def test_a_lost_reply_is_asked_again_as_the_same_draw(serve, connect, act):
    server = serve(vllm=True)
    server.acts.append(act)
    backend = connect(server, timeout_seconds=0.3)
    stream = await decode(backend, ask(seed=5))
    first, second = server.calls
    assert first.body == second.body
    assert first.body["seed"] == 5
    assert text_of(stream) == written("why?", 5)
    assert accounts(stream) == truth(second)
    assert backend.stats.resent_prompt_tokens >= second.prompt_tokens


@pytest.mark.parametrize("act", LOST, ids=str)
async def test_a_lost_reply_without_seeds_is_an_error(serve, connect, act):
    server = serve()
    server.acts.append(act)
    with pytest.raises(BackendError, match="favour short answers"):
        await decode(connect(server, timeout_seconds=0.3), ask(seed=5))
    assert len(server.calls) == 1
    assert "seed" not in server.calls[0].body
