"""Answers in JSON: the whole value, or one field of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any

_NUMBERS = Context(prec=60, traps=[])
_PLAIN = 40  # most places of a whole number that is written out
_OPENING = "{["
_MOST_STARTS = 1000  # places that are tried; more braces than that are no answer


@dataclass(frozen=True)
class JsonAnswers:
    """The JSON value that an answer is, or ends with. Implements `tts.tasks.Answers`.

    A text that is one JSON value is taken whole; of another one the last complete object or array,
    so that a model may think first, or put the value between fences.

    Attributes:
        field: What of the value is the answer: names of members and numbers of items from 0, with
            dots between them ('steps.0.result'). Empty for all of it.
        landing: Text that makes a model state its result, whatever came before; empty, as nothing
            turns a text that was cut off into JSON.
    """

    field: str = ""
    landing: str = ""

    def extract(self, text: str) -> str | None:
        """The answer: a string as it is, any other value as JSON. None if there is none."""
        for value in _values(text):
            for step in self.field.split(".") if self.field else ():
                value = _member(value, step)
            if value is _NOTHING or value is None:
                return None
            return (value.strip() or None) if isinstance(value, str) else _canonical(value)
        return None

    async def key(self, answer: str) -> str:
        """A canonical form: members in order, numbers by value; other texts are themselves."""
        try:
            return _canonical(_parse(answer))
        except (ValueError, RecursionError):
            return answer.strip()

    async def equal(self, answer: str, gold: str) -> bool:
        """Whether two answers have the same key."""
        return await self.key(answer) == await self.key(gold)


_NOTHING = object()


def _values(text: str) -> Iterator[Any]:
    """The value that a text is, or the last complete object or array in it; at most one."""
    try:
        yield _parse(text)
        return
    except (ValueError, RecursionError):
        pass
    found: Any = _NOTHING
    at = _next(text, 0)
    for _ in range(_MOST_STARTS):
        if at < 0:
            break
        try:
            found, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        at = _next(text, end)
    if found is not _NOTHING:
        yield found


def _next(text: str, start: int) -> int:
    """Where the next object or array may begin; -1 for nowhere."""
    return min((at for sign in _OPENING if (at := text.find(sign, start)) >= 0), default=-1)


def _member(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step, _NOTHING)
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return value[int(step)]
    return _NOTHING


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


# Not strict: grammars for strings of limited length let control characters through.
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse, strict=False)


def _parse(text: str) -> Any:
    return _DECODER.decode(text)


def _canonical(value: Any) -> str:
    """JSON without space, members in the order of their names, equal numbers written alike."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(name)}:{_canonical(value[name])}" for name in sorted(value))
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_canonical, value))}]"
    if isinstance(value, Decimal):
        return _number(value)
    return json.dumps(value, ensure_ascii=False)


def _number(value: Decimal) -> str:
    if not value:
        return "0"
    short = value.normalize(_NUMBERS)
    whole = short == short.to_integral_value(context=_NUMBERS)
    return str(int(short)) if whole and short.adjusted() < _PLAIN else str(short)
