"""The process in which SymPy reads answers: one JSON line in, one JSON line out.

Run as `python -m tts.tasks._worker`; `tts.tasks._pool` starts it, and kills it when it takes too
long. It is the only module that imports SymPy and math-verify, which takes seconds. It knows
nothing of tasks, and nobody trusts it to survive.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from typing import Any

import sympy
from math_verify import parse, verify

from tts.tasks._numbers import canonical_number, rational

_MEMORY = 2 << 30  # bytes of address space: a tower of powers must not eat the machine
_PROCESSOR_SECONDS = 60  # for one request, should the parent die and nobody be left to kill us
_LONGEST_KEY = 1000  # characters
_DIGITS = 15  # of a number that is not rational, in its key
_GUARD = 15  # further digits to compute, so that two ways to write it round alike


def main() -> None:
    """Answer requests until the input ends."""
    _limit(resource.RLIMIT_AS, _MEMORY)
    logging.disable(logging.CRITICAL)  # math-verify warns that we, not it, keep the time
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no reply
    print('"ready"', file=replies, flush=True)
    for line in sys.stdin:
        _limit(resource.RLIMIT_CPU, int(time.process_time()) + _PROCESSOR_SECONDS)
        print(json.dumps(answer(*json.loads(line))), file=replies, flush=True)


def answer(job: str, *texts: str) -> Any:
    """Do one job: `equal` on a gold answer and another, or `key` on one answer."""
    try:
        return equal(*texts) if job == "equal" else key(*texts)
    except Exception:
        # What SymPy cannot read, or not within its memory and recursion, equals nothing.
        return None


def equal(gold: str, other: str) -> bool:
    """Whether two tidy answers are the same by math-verify (numbers up to 6 decimal places)."""
    return bool(
        verify(
            _readings(gold), _readings(other), timeout_seconds=None, allow_set_relation_comp=True
        )
    )


def key(text: str) -> str | None:
    """The canonical form of a tidy answer, or None if it is no mathematics."""
    expressions = [reading for reading in _parse(text) if not isinstance(reading, str)]
    found = _canonical(expressions[0]) if expressions else ""
    return found if 0 < len(found) <= _LONGEST_KEY else None


def _readings(text: str) -> list[Any]:
    """What an answer may mean: as it stands, and as the number it is with its unit dropped."""
    number = canonical_number(text)
    return _parse(text) + ([] if number is None else _parse(number))


def _parse(text: str) -> list[Any]:
    if text.count("{") != text.count("}"):
        return []  # math-verify would read what comes before the gap, and call '9^{9' equal to 9
    return list(parse("$" + text.replace("\n", " ") + "$", parsing_timeout=None))


def _canonical(expression: Any) -> str:
    """A string that equal expressions share, as far as SymPy can tell."""
    if isinstance(expression, sympy.MatrixBase):
        return f"{expression.shape}" + ",".join(map(_canonical, expression))
    if isinstance(expression, (sympy.FiniteSet, sympy.Tuple)):
        parts = [_canonical(part) for part in expression.args]
        # Elements of a set are sorted as strings: any order will do if it is always the same.
        inside = ",".join(sorted(parts) if isinstance(expression, sympy.FiniteSet) else parts)
        return f"{{{inside}}}" if isinstance(expression, sympy.FiniteSet) else f"({inside})"
    if isinstance(expression, sympy.Eq) and isinstance(expression.lhs, sympy.Symbol):
        return _canonical(expression.rhs)
    if isinstance(expression, sympy.Rel):
        return str(expression.canonical)
    if not isinstance(expression, sympy.Expr):
        return str(expression)
    return _canonical_expression(expression.doit())


def _canonical_expression(expression: sympy.Expr) -> str:
    if expression.is_Rational:
        return rational(int(expression.p), int(expression.q))
    if expression.free_symbols or not expression.is_finite:
        return str(sympy.simplify(sympy.expand(expression)))
    value = sympy.N(sympy.N(expression, _DIGITS + _GUARD), _DIGITS)
    text = str(value)
    return canonical_number(text) or text


def _limit(kind: int, amount: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (amount if hard < 0 else min(amount, hard), hard))


if __name__ == "__main__":
    main()
