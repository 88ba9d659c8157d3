r"""How mathematical answers are written, and when two of them are the same.

Knows text only: not whether the model had ended, nor what the right answer is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tts.tasks._finding import BOX, boxed, ended, last
from tts.tasks._numbers import canonical_number, tidy
from tts.tasks.grading import TIME_LIMIT, grade, symbolic_key

_NUMBER = r"\\?[-+\u2212]?\s?[$€£]?(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)(?:\s?/\s?[0-9]+)?%?"
_FRACTION = r"[-+]?\\[dt]?frac\s?\{[^{}]{1,99}\}\{[^{}]{1,99}\}"
_INLINE = r"\$(?=\S)[^$\n]{1,200}(?<=\S)\$(?![0-9])|\\\(.{1,200}?\\\)"
_VALUE = rf"(?:{_INLINE}|{_FRACTION}|{_NUMBER})"
_HASHES = re.compile(rf"####\s*({_VALUE})")
_STATED = re.compile(rf"\banswer(?:\s+is|\s*[:=])[\s:*]*({_VALUE})", re.IGNORECASE)
_LONE = re.compile(rf"(?<![\w.{{^])((?>{_FRACTION}|{_NUMBER}))(?![\^}}])")


@dataclass(frozen=True)
class MathAnswers:
    r"""Answers in a box, with fallbacks. Implements `tts.tasks.Answers`.

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
        if BOX in text:
            return boxed(text)
        found = last(_HASHES, text) or last(_STATED, text)
        if found is None and self.fallback_last_number:
            if canonical_number(text) is not None:
                found = text
            elif ended(text):
                found = last(_LONE, text)
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

    async def equal(self, answer: str, gold: str) -> bool:
        """Whether an answer is the gold one, by `tts.tasks.grade`.

        Raises:
            GradingError: The grader crashed.
        """
        return await grade(answer, gold, seconds=self.time_limit)


def _bare(answer: str) -> str | None:
    r"""An answer found in running text without its dollars, commas and full stops."""
    answer = tidy(answer).rstrip(",")
    return answer or None
