"""Whether an answer is right, and under which key a formula meets its equals.

Plain numbers and identical texts are settled here, in microseconds. All else is for SymPy and
math-verify, in processes that are killed when they are late. Results are remembered: votes ask the
same thing many times, and an answer that took too long once must not be given two keys.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from typing import Any

from tts.errors import GradingError
from tts.tasks._numbers import canonical_number, tidy, unwrap
from tts.tasks._pool import Workers

TIME_LIMIT = 5.0
"""Seconds of thought for one answer; most take milliseconds."""

_LONGEST = 1000  # characters; longer answers equal nothing but themselves
_REMEMBERED = 10_000  # requests
_FORMULA = frozenset("0123456789\\^_=<>+-*/|{}[]")

_LATE = object()

_Request = tuple[float, str, *tuple[str, ...]]  # the time limit, the job, and what it is about
_workers = Workers("tts.tasks._worker", size=max(2, min(4, (os.cpu_count() or 1) // 2)))
_memory: OrderedDict[_Request, Any] = OrderedDict()
_under_way: dict[tuple[asyncio.AbstractEventLoop, _Request], asyncio.Task[None]] = {}


async def grade(answer: str | None, gold: str, *, seconds: float = TIME_LIMIT) -> bool:
    r"""Whether an answer equals the gold answer.

    Numbers are compared by value, with units and per cent signs dropped; decimals agree when they
    round to the same 6 places, so that '0.333333' is right where '1/3' is asked. Formulas, sets,
    intervals and equations are compared by math-verify. An answer that takes longer than the limit,
    or that nobody can read, is not equal.

    Args:
        answer: As extracted; None is never right.
        gold: The right answer.
        seconds: Time limit, above 0.

    Raises:
        GradingError: The grader crashed, twice, or does not start.
    """
    if answer is None:
        return False
    number, right = canonical_number(answer), canonical_number(gold)
    if number is not None and right is not None:
        if number == right:
            return True
        if "." not in number + right and "/" not in number + right:
            return False
    answer, gold = tidy(answer), tidy(gold)
    if not answer or not gold:
        return False
    if answer == gold or _words(answer) == _words(gold) is not None:
        return True
    try:
        return await _ask((seconds, "equal", gold, answer)) is True
    except TimeoutError:
        return False


async def symbolic_key(answer: str, seconds: float = TIME_LIMIT) -> str:
    """The key of an answer that is no plain number; its own spelling where SymPy cannot help.

    Args:
        answer: Any text.
        seconds: Time limit, above 0.
    """
    answer = tidy(answer)
    words = _words(answer)
    if words is not None:
        return words
    try:
        found = await _ask((seconds, "key", answer))
    except (TimeoutError, GradingError):
        found = None
    return found if isinstance(found, str) else _spelling(answer)


def _spelling(answer: str) -> str:
    return " ".join(unwrap(answer).split())


def _words(answer: str) -> str | None:
    """The key of an answer in words, or of the letter of a choice; None if it is mathematics."""
    spelling = _spelling(answer)
    return spelling.strip("()").casefold() if _FORMULA.isdisjoint(spelling) else None


async def _ask(request: _Request) -> Any:
    """A worker's reply, from memory if it was asked before; None for texts that are too long.

    Raises:
        TimeoutError: The limit has passed, now or when it was asked before.
        GradingError: The workers crashed.
    """
    if any(len(text) > _LONGEST for text in request[1:]):
        return None
    if request not in _memory:
        # Whoever asked may be cancelled; the others who wait for the same reply may not suffer.
        await asyncio.shield(_task(request))
    reply = _memory[request]
    _memory.move_to_end(request)
    if reply is _LATE:
        raise TimeoutError
    return reply


def _task(request: _Request) -> asyncio.Task[None]:
    """The task that answers a request, one for all who ask at the same time."""
    loop = asyncio.get_running_loop()
    task = _under_way.get((loop, request))
    if task is None:
        task = loop.create_task(_remember(request))
        _under_way[loop, request] = task
        task.add_done_callback(lambda _: _under_way.pop((loop, request), None))
    return task


async def _remember(request: _Request) -> None:
    seconds, *job = request
    try:
        reply = await _workers.ask(job, seconds)
    except TimeoutError:
        reply = _LATE
    _memory[request] = reply
    while len(_memory) > _REMEMBERED:
        _memory.popitem(last=False)
