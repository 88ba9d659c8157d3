"""Sums of numbers as text: their tokens, and what they are worth, exactly.

Pure. A parser of our own over numbers, signs and brackets; nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Kind = Literal["number", "operator", "open", "close", "equal", "other"]

_MARKS: tuple[Kind, ...] = ("open", "close", "equal", "other")

_TOKEN = re.compile(
    r"""
    (?P<fraction>\\[dtc]?frac\s*\{\s*(?P<top>[0-9]{1,40})\s*\}\s*\{\s*(?P<bottom>[0-9]{1,40})\s*\})
  | (?P<number>[0-9]{1,3}(?:,[0-9]{3}){1,12}(?![0-9])(?:\.[0-9]{1,40})?
      |[0-9]{1,40}(?:\.[0-9]{1,40})?|\.[0-9]{1,40})
  | (?P<operator>(?<=[0-9)])\*\*(?=[0-9(-])|\\times|\\cdot|\\div|[-+/^×÷·⋅∗−]|\*(?!\*))
  | (?P<open>[({])
  | (?P<close>[)}])
  | (?P<equal>(?<![<>!=~:])=(?![=>]))
  | (?P<blank>\s+|\*\*|[$&`]|\\[,;:!() \[\]$]|\\(?:left|right|boxed)(?![A-Za-z]))
  | (?P<other>\.?\\[A-Za-z]+|[,:][0-9]+|[A-Za-z]+|.)
    """,
    re.VERBOSE,
)
_SIGNS = {
    "**": "^", "×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "−": "-",
    "\\times": "*", "\\cdot": "*", "\\div": "/",
}  # fmt: skip
_DEPTH = 50  # of brackets
_BITS = 4096  # of a power
_LONGEST = 500  # tokens of a sum


@dataclass(frozen=True, slots=True)
class Token:
    r"""A piece of a line.

    Attributes:
        kind: What it is.
        text: As written; of a sign its plain form, and 'fraction' for `\frac`.
        value: Of a number.
        glued: Whether no space stands between it and what comes before it.
    """

    kind: Kind
    text: str
    value: Fraction = Fraction(0)
    glued: bool = False


def tokens_of(line: str) -> list[Token]:
    """The tokens of a line, blanks left out, with an `x` between two numbers as a sign."""
    return _with_times(list(_tokens(line)))


def _tokens(line: str) -> Iterator[Token]:
    glued = False
    for match in _TOKEN.finditer(line):
        text = match.group()
        if match["fraction"] is not None:
            top, bottom = int(match["top"]), int(match["bottom"])
            if bottom:
                yield Token("number", "fraction", Fraction(top, bottom), glued)
            else:
                yield Token("other", text, glued=glued)
        elif match["number"] is not None:
            yield Token("number", text, Fraction(text.replace(",", "")), glued)
        elif match["operator"] is not None:
            yield Token("operator", _SIGNS.get(text, text), glued=glued)
        elif match["blank"] is None:
            kind = next(kind for kind in _MARKS if match[kind] is not None)
            yield Token(kind, text, glued=glued)
        glued = match["blank"] is None


def _with_times(tokens: Sequence[Token]) -> list[Token]:
    """The same with an `x` between two numbers as a sign; 0x10 is none."""
    found = list(tokens)
    for i in range(1, len(tokens) - 1):
        before, here, after = tokens[i - 1 : i + 2]
        between = before.kind in ("number", "close") and after.kind in ("number", "open")
        if here.text in ("x", "X") and between and here.glued == after.glued:
            if not (here.glued and before.text == "0"):
                found[i] = Token("operator", "*", glued=here.glued)
    return found


class _Unreadable(Exception):
    """Not a value: leave it out."""


def value_of(tokens: Sequence[Token]) -> Fraction | None:
    """The exact value of a sum; None if it is none, or too large to be worth it."""
    if len(tokens) > _LONGEST:
        return None
    parser = _Parser(tokens)
    try:
        value = parser.sum()
    except _Unreadable:
        return None
    return value if parser.place == len(tokens) else None


class _Parser:
    """Recursive descent over the tokens of one side; raises `_Unreadable` where there is none."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.place = 0
        self.depth = 0

    def sum(self) -> Fraction:
        value = self._product()
        while sign := self._take("+", "-"):
            term = self._product()
            value = value + term if sign == "+" else value - term
        return value

    def _product(self) -> Fraction:
        value = self._factor()
        while sign := self._take("*", "/"):
            factor = self._factor()
            if sign == "/" and not factor:
                raise _Unreadable
            value = value * factor if sign == "*" else value / factor
        return value

    def _factor(self) -> Fraction:
        signs = 0
        while sign := self._take("-", "+"):
            signs += sign == "-"
        base = self._atom()
        if self._take("^"):
            base = _power(base, self._factor_of_power())
        return -base if signs % 2 else base

    def _factor_of_power(self) -> Fraction:
        minus = self._take("-")
        return -self._atom() if minus else self._atom()

    def _atom(self) -> Fraction:
        token = self._next()
        if token.kind == "number":
            return token.value
        self.depth += 1
        if token.kind != "open" or self.depth > _DEPTH:
            raise _Unreadable
        value = self.sum()
        if self._next().kind != "close":
            raise _Unreadable
        self.depth -= 1
        return value

    def _next(self) -> Token:
        if self.place == len(self.tokens):
            raise _Unreadable
        self.place += 1
        return self.tokens[self.place - 1]

    def _take(self, *signs: str) -> str:
        """The next token, if it is one of these signs; or nothing."""
        here = self.tokens[self.place] if self.place < len(self.tokens) else None
        if here is None or here.kind != "operator" or here.text not in signs:
            return ""
        self.place += 1
        return here.text


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    """A power with a whole exponent, as long as it has a reasonable size."""
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    whole = exponent.denominator == 1 and abs(exponent) * size <= _BITS
    if not whole or (base == 0 and exponent < 0):
        raise _Unreadable
    return base**exponent.numerator
