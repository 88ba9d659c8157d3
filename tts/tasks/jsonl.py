"""Any data set in a JSONL file with named fields; GSM8K and the like are configurations of it."""

from __future__ import annotations

import difflib
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts.errors import ConfigError
from tts.protocols import AnswerFormat
from tts.seeds import derive
from tts.tasks.prompt import Prompt
from tts.tasks.task import Item, ItemTask


@dataclass(frozen=True)
class Fields:
    """Where in a row things are.

    Attributes:
        question: Field of the question.
        answer: Field of the right answer, a text or a number.
        id: Field of the identifier; None numbers the lines, as in 'gsm8k-0'.
        metadata: Fields that strategies and verifiers may see, as `problem.metadata`.
        answer_pattern: Regular expression that finds the answer in its field; its first group if
            it has one ('#### (.*)' for GSM8K). None takes the whole field.
    """

    question: str = "question"
    answer: str = "answer"
    id: str | None = None
    metadata: Sequence[str] = ()
    answer_pattern: str | None = None

    def __post_init__(self) -> None:
        if self.answer in (self.question, self.id, *self.metadata):
            raise ConfigError(
                f"The field {self.answer!r} holds the right answer and cannot serve as anything"
                " else.",
                hint="See task.fields.",
            )
        try:
            re.compile(self.answer_pattern or "")
        except re.error as error:
            raise ConfigError(
                f"fields.answer_pattern is no regular expression: {error}."
            ) from error


class JsonlTask(ItemTask):
    """The problems of a JSONL file.

    Args:
        path: The file; '~' is understood, blank lines are skipped.
        name: What results are filed under, and the start of numbered ids; by default the name of
            the file without its ending.
        fields: Where in a row things are.
        prompt: How a question becomes a problem.
        n_problems: How many problems to take, at least 1; None takes all from `offset` on.
        offset: How many to leave out first, at least 0.
        shuffle_seed: Mixes the problems before any are left out or taken; None keeps the file's
            order. Ids do not depend on it.
        answers: How answers are written; `MathAnswers()` by default.
        max_tokens: Tokens that a whole answer may take, at least 1.

    Raises:
        ConfigError: The file, a line of it, or an argument cannot be used.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str = "",
        fields: Fields | None = None,
        prompt: Prompt | None = None,
        n_problems: int | None = None,
        offset: int = 0,
        shuffle_seed: int | None = None,
        answers: AnswerFormat | None = None,
        max_tokens: int = 1024,
    ) -> None:
        path = Path(path).expanduser()
        name = name or path.stem
        reader = _Reader(path, name, fields or Fields(), prompt or Prompt())
        items = list(reader.items())
        if shuffle_seed is not None:
            random.Random(derive(shuffle_seed, name, "shuffle")).shuffle(items)
        chosen = _part(items, offset, n_problems, str(path))
        super().__init__(name, chosen, answers=answers, max_tokens=max_tokens)


@dataclass(frozen=True)
class _Reader:
    """Turns lines into items, or says in one sentence which line cannot be used and why."""

    path: Path
    name: str
    fields: Fields
    prompt: Prompt

    def items(self) -> Iterator[Item]:
        lines_of: dict[str, int] = {}
        for index, row in self._rows():
            where = f"{self.path}, line {index + 1}"
            item = self._item(index, row, where)
            first = lines_of.setdefault(item.problem.id, index)
            if first != index:
                raise ConfigError(
                    f"{where}: the id {item.problem.id!r} is that of line {first + 1} too.",
                    hint="Set fields.id to a field that is unique, or to null to number the lines.",
                )
            yield item
        if not lines_of:
            raise ConfigError(f"{self.path} holds no problems.")

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            with self.path.open(encoding="utf-8") as file:
                for index, line in enumerate(file):
                    if line.strip():
                        yield index, _parsed(line, f"{self.path}, line {index + 1}")
        except FileNotFoundError as error:
            raise ConfigError(
                f"There is no file {self.path.absolute()} for task {self.name}.",
                hint="Set task.path, or TTS_DATA to the folder that holds it (./data by default).",
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{self.path} cannot be read: {error}.") from error

    def _item(self, index: int, row: dict[str, Any], where: str) -> Item:
        fields = self.fields
        question = _text(row, fields.question, where)
        gold = self._gold(row, where)
        id = f"{self.name}-{index}" if fields.id is None else _text(row, fields.id, where)
        metadata = {field: _value(row, field, where) for field in fields.metadata}
        visible = {key: value for key, value in row.items() if key != fields.answer}
        try:
            problem = self.prompt.problem(id, {**visible, "question": question}, metadata)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error.message}", hint=error.hint) from error
        return Item(problem, gold)

    def _gold(self, row: dict[str, Any], where: str) -> str:
        text = _text(row, self.fields.answer, where)
        if self.fields.answer_pattern is None:
            return text
        match = re.search(self.fields.answer_pattern, text)
        gold = match and match[min(1, match.re.groups)]
        if not gold or not gold.strip():
            raise ConfigError(
                f"{where}: fields.answer_pattern {self.fields.answer_pattern!r} finds no answer in"
                f" the field {self.fields.answer!r}."
            )
        return gold.strip()


def _parsed(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ConfigError(
            f"{where} is no JSON: {error}.", hint="Each line holds one JSON object."
        ) from error
    if not isinstance(row, dict):
        raise ConfigError(f"{where} holds a {type(row).__name__}, not an object with fields.")
    return row


def _value(row: Mapping[str, Any], field: str, where: str) -> Any:
    if field not in row:
        close = difflib.get_close_matches(field, row, n=1)
        raise ConfigError(
            f"{where} has no field {field!r}; there are: {', '.join(row) or 'none'}.",
            hint=f"Did you mean {close[0]!r}? See task.fields." if close else "See task.fields.",
        )
    return row[field]


def _text(row: Mapping[str, Any], field: str, where: str) -> str:
    """A field as text; 27.0 is '27'."""
    value = _value(row, field, where)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where}: the field {field!r} must hold a text or a number.")
    return value.strip()


def _part(items: list[Item], offset: int, count: int | None, source: str) -> list[Item]:
    if count is not None and count < 1:
        raise ConfigError(f"n_problems is {count}; it must be at least 1, or null for all.")
    if offset < 0:
        raise ConfigError(f"offset is {offset}; it must be at least 0.")
    there = len(items) - offset
    if there < (count or 1):
        behind = f" from number {offset} on" if offset else ""
        raise ConfigError(
            f"n_problems is {count or 'null'}, but {source} has {max(there, 0)} problems{behind}.",
            hint="Take fewer, or null for all." if there > 0 else "Choose a smaller offset.",
        )
    return items[offset:][:count]
