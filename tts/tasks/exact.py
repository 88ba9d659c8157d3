"""Answers in words, compared as they are written."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from tts.tasks._finding import BOX, boxed, last

_TAGGED = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)
_STATED = re.compile(r"\banswer(?:\s+is|\s*[:=])[\s:*]*(\S[^\n]*)", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=\w\w\w)[.!?](?:\s|$)")  # not behind 'St' or 'Dr'


@dataclass(frozen=True)
class ExactAnswers:
    r"""Answers that must be spelt as asked. Implements `tts.tasks.Answers`.

    An answer is looked for in this order; the last occurrence wins: between `<answer>` and
    `</answer>`; in a complete `\boxed{…}`; behind 'answer is' or 'answer:', up to the end of the
    sentence. A text with an unfinished tag or box alone has no answer.

    Attributes:
        landing: Text that makes a model state its result, whatever came before.
        ignore_case: Whether 'Paris' is 'paris'.
        ignore_punctuation: Whether 'St. Louis!' is 'St Louis'.
        ignore_spaces: Whether 'a b' is 'ab'; otherwise only the amount of space does not count.
    """

    landing: str = "\n\n\\boxed{"
    ignore_case: bool = True
    ignore_punctuation: bool = True
    ignore_spaces: bool = False

    def extract(self, text: str) -> str | None:
        """The final answer in a text as it was written, or None."""
        if "<answer>" in text:
            return (last(_TAGGED, text) or "").strip() or None
        if BOX in text:
            return boxed(text)
        if self.landing and self.landing in text:
            text = text[text.rindex(self.landing) :]
        stated = last(_STATED, text)
        if stated is None:
            return None
        return _SENTENCE.split(stated, maxsplit=1)[0].strip(" .*\t\"'`") or None

    async def key(self, answer: str) -> str:
        """The answer without what is not to count; as it stands if nothing would be left."""
        text = unicodedata.normalize("NFKC", answer)
        if self.ignore_case:
            text = text.casefold()
        if self.ignore_punctuation:
            text = "".join(" " if _is_mark(letter) else letter for letter in text)
        text = ("" if self.ignore_spaces else " ").join(text.split())
        return text or answer.strip()

    async def equal(self, answer: str, gold: str) -> bool:
        """Whether two answers have the same key."""
        return await self.key(answer) == await self.key(gold)


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter).startswith("P")
