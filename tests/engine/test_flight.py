"""How a request ends, with an engine that is a few lines long."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from tts.engine.decode import Decode
from tts.errors import BackendError


class Llm:
    """Says two tokens, and ends as it is told; waits for an abort if it is told nothing."""

    def __init__(self, finish: str | None) -> None:
        self.finish = finish
        self.aborted = asyncio.Event()

    async def generate(self, *_: object, **__: object):
        yield _said([1], None)
        if self.finish is None:
            await self.aborted.wait()
        yield _said([2], self.finish or "abort")

    async def abort(self, _: str) -> None:
        self.aborted.set()


def _said(tokens, finish):
    piece = SimpleNamespace(token_ids=tokens, logprobs=None, finish_reason=finish, stop_reason=None)
    return SimpleNamespace(outputs=[piece], num_cached_tokens=0)


async def test_an_abort_that_nobody_asked_for_is_a_fault_and_no_answer():
    flight = Decode(Llm("abort"), [5], None, "r")
    with pytest.raises(BackendError, match="called off a request by itself"):
        await flight.ended()
    assert flight.tokens == [1, 2]


async def test_an_abort_that_was_asked_for_brings_what_there_is():
    flight = Decode(Llm(None), [5], None, "r")
    await flight.news()
    await flight.close()
    assert (flight.tokens, flight.finish, flight.error) == ([1, 2], "abort", None)


async def test_a_request_that_ends_by_itself_is_no_fault():
    flight = Decode(Llm("length"), [5], None, "r")
    await flight.ended()
    assert (flight.finish, flight.error) == ("length", None)
