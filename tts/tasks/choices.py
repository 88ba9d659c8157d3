"""Multiple choice: the options of a question under letters, and how a letter is answered."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from tts.errors import ConfigError
from tts.seeds import derive
from tts.tasks._finding import BOX, boxed, ended, last
from tts.tasks.sources import Row

Options = tuple[tuple[str, str], ...]
"""Letters, each with the text of its option."""

_VERBS = r"(?:is|because|since|as|for|and|or)\b"
_SAID = r"(?i:\banswer(?:\s+is|\s*[:=])(?:\s+(?:option|choice))?|\b(?:option|choice)(?:\s+is|\s*:))"


@dataclass(frozen=True)
class Choices:
    """The options of a question.

    Attributes:
        fields: One field an option, the answer's own among them; or a single field that holds the
            list of all options.
        shuffle: Whether the options of each problem are mixed, by a seed from its id: where the
            right one has a column of its own, it would always come first.
    """

    fields: Sequence[str] = ("choices",)
    shuffle: bool = True

    def __post_init__(self) -> None:
        if not self.fields:
            raise ConfigError("fields.choices.fields is empty; it must name the options' fields.")

    def arrange(self, row: Row, answer: str, id: str) -> tuple[Options, str]:
        """The options as they are shown, and the letter of the right one.

        Args:
            row: From a source.
            answer: Field of the right answer: the option itself, its number from 0, its letter, or
                one of `fields`.
            id: Of the problem; decides the order.

        Raises:
            ConfigError: There are no options, two are the same, or none of them is the answer.
        """
        texts, right = self._options(row, answer)
        order = list(range(len(texts)))
        if self.shuffle:
            random.Random(derive(0, "choices", id)).shuffle(order)
        shown = tuple((letter, texts[n]) for letter, n in zip(ascii_uppercase, order, strict=False))
        return shown, ascii_uppercase[order.index(right)]

    def _options(self, row: Row, answer: str) -> tuple[list[str], int]:
        for name in (answer, *self.fields):
            if name not in row.fields:
                raise ConfigError(
                    f"{row.where} has no field {name!r}; there are: {', '.join(row.fields)}.",
                    hint="See task.fields.answer and task.fields.choices.fields.",
                )
        values = [row.fields[name] for name in self.fields]
        listed = values[0] if len(values) == 1 else values
        texts = [str(value).strip() for value in listed] if isinstance(listed, list) else []
        if not 2 <= len(texts) <= len(ascii_uppercase) or len(set(texts)) < len(texts):
            raise ConfigError(
                f"{row.where}: the options are {listed!r:.200}; they must be 2 to 26 different"
                " texts.",
                hint="See task.fields.choices.fields.",
            )
        if answer in self.fields:
            return texts, list(self.fields).index(answer)
        return texts, _right(row, row.fields[answer], texts)


def _right(row: Row, answer: Any, texts: list[str]) -> int:
    letters = ascii_uppercase[: len(texts)]
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(texts):
        return answer
    text = str(answer).strip()
    if text in texts:
        return texts.index(text)
    if len(text) == 1 and text.upper() in letters:
        return letters.index(text.upper())
    raise ConfigError(f"{row.where}: the answer {answer!r:.80} is none of the options.")


@dataclass(frozen=True)
class ChoiceAnswers:
    r"""Answers that are one letter. Implements `tts.tasks.Answers`.

    A letter is looked for in this order; the last occurrence wins:

    1. In a complete `\boxed{…}`, be it '(C)', '\text{C}' or 'C) the text'. A text with a box that
       is unfinished or holds no letter has no answer.
    2. Behind 'answer is', 'answer:' or 'option', as in 'the answer is (C)'.
    3. Alone in a text that ends as a finished sentence does ('So it is **C**.'), or is nothing but
       the letter. The words 'A' and 'I' do not count there.

    Attributes:
        letters: Those that there may be.
        landing: Text that makes a model state its result, whatever came before.
    """

    letters: str = "ABCD"
    landing: str = "\n\n\\boxed{"

    def __post_init__(self) -> None:
        if not re.fullmatch("[A-Z]{2,26}", self.letters):
            raise ConfigError(f"answers.letters is {self.letters!r}; it must be capital letters.")

    def extract(self, text: str) -> str | None:
        """The letter that a text settles on, a capital, or None."""
        if BOX in text:
            match = re.fullmatch(self._boxed, boxed(text) or "", re.DOTALL)
            return match[1].upper() if match else None
        found = last(re.compile(self._stated), text)
        if found is None and ended(text):
            found = last(re.compile(self._alone), text)
        if found is None and (match := re.fullmatch(self._bare, text.strip())):
            found = match[1]
        return found.upper() if found else None

    async def key(self, answer: str) -> str:
        """The letter, a capital."""
        return answer.strip(" ().").upper()

    async def equal(self, answer: str, gold: str) -> bool:
        """Whether two letters are the same."""
        return await self.key(answer) == await self.key(gold)

    @property
    def _letter(self) -> str:
        """A capital; not the article 'A' nor the word 'I' in front of another word."""
        return rf"[{self.letters}](?<![AI](?=\s+(?!{_VERBS})[a-z]))"

    @property
    def _either(self) -> str:
        return f"[{self.letters}{self.letters.lower()}]"

    @property
    def _bare(self) -> str:
        return rf"[\s(*]*({self._either})[\s).*:]*"

    @property
    def _boxed(self) -> str:
        return (
            rf"\s*(?:\\(?:text|textbf|mathrm|mathbf)\s*\{{)?[\s(]*({self._either})\s*(?:[).:}}].*)?"
        )

    @property
    def _stated(self) -> str:
        return rf"{_SAID}[\s:*(\[$]*({self._letter})(?![A-Za-z0-9'])"

    @property
    def _alone(self) -> str:
        return rf"(?<![A-Za-z0-9'\\])({self._letter})(?![A-Za-z0-9'])"
