r"""What a step concludes: the value that it states, if it states one.

Knows the text of one step at a time, without the word that it begins with. Values are compared by
`canonical`: plain numbers by value, all else by spelling.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from tts.protocols import AnswerFormat

NUMBER = r"(?<![\w.,])-?(?>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?"
"""A number in running text; the minus of '12-7' is no sign."""

_NUMBER = re.compile(NUMBER)
_PLAIN = re.compile(r"-?\d{1,60}(?:\.\d{1,60})?(?:/0*[1-9]\d{0,59})?")
_BOX = re.compile(r"\\boxed\s*\{([^{}]*)\}")
_SUM = re.compile(rf"([\d.,()+\-*/×·^ ]*[\d)] ?[+\-*/×·^] ?[\d(][\d.,()+\-*/×·^ ]*)=\s*({NUMBER})")
_ARITHMETIC = re.compile(r"[\s\d.,()+\-*/×·^]*")
_TO_DO = re.compile(r"[\d)]\s*[+\-*/×·^]")


class Conclusions(Protocol):
    """Says what a step concludes."""

    def __call__(self, step: str) -> str | None:
        """The value that a step states as it wrote it, or None if it states none."""
        ...


@dataclass(frozen=True)
class LastValue:
    r"""The last box of a step, or else its last number.

    A step that ends on an expression which is still to be worked out ('6*8=48 => 47+48-29', '48-')
    concludes nothing.
    """

    def __call__(self, step: str) -> str | None:
        """The value, or None."""
        if boxes := _BOX.findall(step):
            return str(boxes[-1]).strip() or None
        if left_over(step) is not None:
            return None
        numbers = _NUMBER.findall(step)
        return numbers[-1] if numbers else None


@dataclass(frozen=True)
class Extracted:
    """What a task's own format finds in a step.

    Attributes:
        answers: How answers are written in the task.
    """

    answers: AnswerFormat

    def __call__(self, step: str) -> str | None:
        """The value, or None."""
        return self.answers.extract(step)


def canonical(value: str) -> str:
    """One form of a value: '66.0', '$66' and '66' are the same, and so are 'Yes' and 'yes'."""
    text = value.strip().strip("$ ").rstrip(".").casefold()
    number = text.replace(",", "")
    return str(Fraction(number)) if _PLAIN.fullmatch(number) else text


def sums(step: str) -> tuple[tuple[str, str], ...]:
    """The sums of a step: what is worked out, without spaces, and the canonical result."""
    return tuple((re.sub(r"\s", "", left), canonical(right)) for left, right in _SUM.findall(step))


def left_over(step: str) -> str | None:
    """The expression, without spaces, that a step ends on and leaves to be worked out.

    None if it leaves none; empty if it stops behind an equals sign.
    """
    tail = step.rpartition("=")[2] if "=" in step else step
    tail = re.sub(r"\s", "", tail.lstrip("> ")).rstrip(".")
    if not tail:
        return "" if "=" in step else None
    unfinished = _ARITHMETIC.fullmatch(tail) and _TO_DO.search(tail)
    return tail if unfinished and not _PLAIN.fullmatch(tail) else None


def places(value: str, text: str) -> list[int]:
    """Where a canonical value stands in a text: the ends of its occurrences, in characters."""
    if _PLAIN.fullmatch(value):
        return [m.end() for m in _NUMBER.finditer(text) if canonical(m[0]) == value]
    whole = re.compile(rf"(?<!\w){re.escape(value)}(?!\w)")
    return [m.end() for m in whole.finditer(text.casefold())] if value else []
