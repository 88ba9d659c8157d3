r"""Equations between numbers, as they stand in running text, worked out exactly.

Pure; nothing is evaluated but sums, products, quotients and powers of numbers, by a parser of our
own. It reads numbers with thousands separators and decimals, `+ - * / ^`, their typographic and
LaTeX forms, `x` between two numbers, `\frac{1}{2}` and brackets. An equation stands on one line; of
`3*4+2 = 12+2 = 14` there are two. What it does not surely understand it leaves out: equations with
letters, units that scale (`50%`, `3 million`), remainders, roots, unbalanced brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from tts.verifiers._numerals import Token, tokens_of, value_of

_ITEM = re.compile(r"\s*(?:[-*+•]|\(?[0-9]{1,3}[.)])\s+")  # what a line of a list begins with
_CLINGING = re.compile(r"[A-Za-z\\_%!°^√|π²³½]|\.\\|[,:][0-9]")  # changes the number next to it
_BEFORE = frozenset(
    "log ln lg exp sin cos tan sqrt root mod of plus minus times twice half x".split()
)
_AFTER = frozenset(
    "percent hundred thousand million billion trillion dozen remainder rem r with mod plus minus"
    " times squared cubed pi".split()
)


@dataclass(frozen=True, slots=True)
class Side:
    """What stands on one side of an equation.

    Attributes:
        value: Its exact value.
        numbers: How many numbers it is made of.
        places: Digits behind the decimal point, if it is one number; 0 for a whole one.
    """

    value: Fraction
    numbers: int
    places: int = 0


@dataclass(frozen=True, slots=True)
class Equation:
    """Two sides that are said to be equal; at least one of them has something to work out."""

    left: Side
    right: Side

    def holds(self, *, rounded: bool) -> bool:
        """Whether it is true.

        Args:
            rounded: Whether a lone decimal may be the other side's value rounded to its places.
        """
        difference = abs(self.left.value - self.right.value)
        places = max(self.left.places, self.right.places)
        slack = Fraction(1, 2 * 10**places) if rounded and places else Fraction(0)
        return difference <= slack


def equations(text: str, *, ended: bool = True) -> list[Equation]:
    """All equations between numbers in a text, in order.

    Args:
        text: Of any kind.
        ended: Whether nothing more is to come. If not, the last side on an open last line is not
            read, as it may go on.
    """
    lines = text.splitlines()
    open_line = bool(lines) and not ended and not text.endswith(("\n", "\r"))
    found = [e for line in lines[: len(lines) - open_line] for e in _in_line(line, True)]
    return found + (list(_in_line(lines[-1], False)) if open_line else [])


def _in_line(line: str, ended: bool) -> Iterator[Equation]:
    if "=" not in line:
        return
    item = _ITEM.match(line)
    tokens = tokens_of(line[item.end() :] if item else line)
    start = 0
    for end in range(len(tokens) + 1):
        if end == len(tokens) or tokens[end].kind == "other":
            before = tokens[start - 1] if start else None
            after = tokens[end] if end < len(tokens) else None
            last = ended or end < len(tokens)
            yield from _in_run(tokens[start:end], before, after, last)
            start = end + 1


def _in_run(
    run: Sequence[Token], before: Token | None, after: Token | None, ended: bool
) -> Iterator[Equation]:
    """The equations in tokens that stand between two others, with what stands around them."""
    parts: list[list[Token]] = [[]]
    for token in run:
        if token.kind == "equal":
            parts.append([])
        else:
            parts[-1].append(token)
    if len(parts) < 2:
        return
    if before and _spoilt_before(before, parts[0]):
        parts[0] = []
    if (after and _spoilt_after(after)) or not ended:
        parts[-1] = []
    sides = [_side(part) for part in _balanced(parts)]
    for left, right in pairwise(sides):
        if left and right and max(left.numbers, right.numbers) > 1:
            yield Equation(left, right)


def _spoilt_before(before: Token, part: Sequence[Token]) -> bool:
    """Whether what stands before the first side belongs to it."""
    if not part or part[0].kind == "operator" or before.text.lstrip("\\").lower() in _BEFORE:
        return True
    return part[0].glued and bool(_CLINGING.match(before.text))


def _spoilt_after(after: Token) -> bool:
    """Whether what stands behind the last side belongs to it."""
    return after.text.lower() in _AFTER or (after.glued and bool(_CLINGING.match(after.text)))


def _balanced(parts: list[list[Token]]) -> list[list[Token]]:
    """The sides, without a bracket that was opened before the equation, or is closed behind it."""
    first, last = parts[0], parts[-1]
    while first and first[0].kind == "open" and _excess(first) > 0:
        first = first[1:]
    while last and last[-1].kind == "close" and _excess(last) < 0:
        last = last[:-1]
    return [first, *parts[1:-1], last]


def _excess(part: Sequence[Token]) -> int:
    return sum((t.kind == "open") - (t.kind == "close") for t in part)


def _side(part: Sequence[Token]) -> Side | None:
    value = value_of(part)
    if value is None:
        return None
    numbers = [t.text for t in part if t.kind == "number"]
    if numbers == ["fraction"]:
        return Side(value, 2)
    lone = len(numbers) == 1
    return Side(value, len(numbers), len(numbers[0].partition(".")[2]) if lone else 0)
