r"""How mathematical answers are written, and when two of them are the same.

Knows text only: not whether the model had ended, nor what the right answer is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tts.tasks._numbers import canonical_number, tidy
from tts.tasks.grading import TIME_LIMIT, symbolic_key

_BOX = "\\boxed"
_BRACES = re.compile(r"(\\boxed\s*\{)|(?:\\.)|(\{)|(\})", re.DOTALL)
_NUMBER = r"\\?[-+\u2212]?\s?[$€£]?(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)(?:\s?/\s?[0-9]+)?%?"
_FRACTION = r"[-+]?\\[dt]?frac\s?\{[^{}]{1,99}\}\{[^{}]{1,99}\}"
_INLINE = r"\$(?=\S)[^$\n]{1,200}(?<=\S)\$(?![0-9])|\\\(.{1,200}?\\\)"
_VALUE = rf"(?:{_INLINE}|{_FRACTION}|{_NUMBER})"
_HASHES = re.compile(rf"####\s*({_VALUE})")
_STATED = re.compile(rf"\banswer(?:\s+is|\s*[:=])[\s:*]*({_VALUE})", re.IGNORECASE)
_LONE = re.compile(rf"(?<![\w.{{^])((?>{_FRACTION}|{_NUMBER}))(?![\^}}])")
_ENDED = re.compile(r"(?:[.!?][\"')*]*|\\\]|\\\)|\$\$|\*\*)\s*\Z")


@dataclass(frozen=True)
class MathAnswers:
    r"""Answers in a box, with fallbacks. Implements `tts.protocols.AnswerFormat`.

    An answer is looked for in this order; the last occurrence wins:

    1. The content of a complete `\boxed{…}`. A text whose only boxes are unfinished has no answer,
       for '\boxed{12' may be the start of 120. Neither has one whose last box is empty.
    2. A number behind '####', the notation of GSM8K.
    3. A number or formula behind 'answer is', 'answer:' or 'answer ='.
    4. With `fallback_last_number`, the last number, provided that the text ends as a finished
       sentence does or is nothing but that number: what is cut off in mid-computation ends on a
       number that answers nothing, and must not vote.

    Attributes:
        landing: Text that makes a model state its result, whatever came before.
        fallback_last_number: Whether the fourth way is open.
        time_limit: Seconds that SymPy may think about one answer, above 0.
    """

    landing: str = "\n\n\\boxed{"
    fallback_last_number: bool = True
    time_limit: float = TIME_LIMIT

    def extract(self, text: str) -> str | None:
        """The final answer in a text as it was written, or None."""
        if _BOX in text:
            return _boxed(text)
        found = _last(_HASHES, text) or _last(_STATED, text)
        if found is None and self.fallback_last_number:
            if canonical_number(text) is not None:
                found = text
            elif _ENDED.search(text[-16:]):
                found = _last(_LONE, text)
        return _bare(found) if found else None

    async def key(self, answer: str) -> str:
        r"""A canonical form: equal answers have equal keys.

        Plain numbers meet by value ('1,000' and '1000', '1/2' and '\frac{1}{2}' and '0.5'), with
        units and per cent signs dropped. Words meet regardless of case. Formulas go through
        SymPy, in a process of its own under `time_limit`; one that SymPy cannot read, or not in
        time, meets only its own spelling. A rounded decimal and its fraction ('0.333' and '1/3')
        stay apart: closeness is no equivalence. Never raises.
        """
        number = canonical_number(answer)
        return number if number is not None else await symbolic_key(answer, self.time_limit)


def _boxed(text: str) -> str | None:
    """The content of the complete box that starts last, or None if there is none or it is empty."""
    start = text.rfind(_BOX + "{")
    end = text.find("}", start)
    content = text[start + len(_BOX) + 1 : end]
    if start < 0 or end < 0 or "{" in content or "\\" in content:
        content = max(_boxes(text), default=(0, ""))[1]
    return content.strip() or None


def _boxes(text: str) -> Iterator[tuple[int, str]]:
    """Start and content of each complete box, in one pass: texts may hold thousands."""
    open_braces: list[re.Match[str]] = []
    for token in _BRACES.finditer(text):
        box, brace, closing = token.groups()
        if box or brace:
            open_braces.append(token)
        elif closing and open_braces and (opening := open_braces.pop())[1]:
            yield opening.start(), text[opening.end() : token.start()]


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = None
    for match in pattern.finditer(text):
        found = match[1]
    return found


def _bare(answer: str) -> str | None:
    r"""An answer found in running text without its dollars, commas and full stops."""
    answer = tidy(answer).rstrip(",")
    return answer or None
