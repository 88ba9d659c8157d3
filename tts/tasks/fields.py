"""What the fields of a row mean: question, right answer, options, a conversation."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tts.errors import ConfigError
from tts.tasks.choices import Choices
from tts.tasks.sources import Row
from tts.types import Message

_SYNONYMS = {
    "question": "question problem prompt input query instruction text",
    "answer": "answer solution target label output gold final_answer expected_answer",
    "messages": "messages conversation conversations turns",
    "id": "id task_id problem_id unique_id index",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read from a row.

    Attributes:
        id: Identifier of the problem.
        visible: What a prompt template may see; never the right answer.
        golds: The right answers, at least one.
        solution: The whole text of the answer's field; for worked examples.
        metadata: What strategies and verifiers may see.
        messages: The conversation, if the row holds one.
        reference: What a grader needs besides.
    """

    id: str
    visible: Mapping[str, Any]
    golds: tuple[str, ...]
    solution: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    reference: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fields:
    """Where in a row things are.

    Attributes:
        question: Field of the question.
        answer: Field of the right answer: a text, a number, or a list of answers that are all
            right. With `choices` also the number or the letter of the right option.
        id: Field of the identifier; None numbers the rows, as in 'gsm8k-0'.
        metadata: Fields that strategies and verifiers may see, as `problem.metadata`.
        answer_pattern: Regular expression that finds the answer in its field; its first group if
            it has one ('#### (.*)' for GSM8K). None takes the whole field.
        messages: Field of a conversation, a list of turns with `role` and `content`, which ends
            with the user's; it then is the problem, and `question` is not read.
        choices: The options of a multiple-choice question; None if it is none.
        reference: Fields that the grader alone sees, of JSON types.
    """

    question: str = "question"
    answer: str = "answer"
    id: str | None = None
    metadata: Sequence[str] = ()
    answer_pattern: str | None = None
    messages: str | None = None
    choices: Choices | None = None
    reference: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.answer in (self.question, self.id, self.messages, *self.metadata):
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

    def read(self, row: Row, name: str) -> Reading:
        """What a row says.

        Args:
            row: From a source.
            name: Start of numbered ids.

        Raises:
            ConfigError: A field is missing, or holds what it cannot mean.
        """
        id = f"{name}-{row.index}" if self.id is None else _text(row, self.id, "id")
        hidden = {self.answer, self.messages, *self.reference}
        visible = {key: value for key, value in row.fields.items() if key not in hidden}
        messages = _turns(row, self.messages) if self.messages else ()
        if not messages:
            visible["question"] = _text(row, self.question, "question")
        golds: tuple[str, ...]
        if self.choices:
            options, letter = self.choices.arrange(row, self.answer, id)
            visible = {k: v for k, v in visible.items() if k not in self.choices.fields}
            visible["choices"] = options
            golds, solution = (letter,), letter
        else:
            golds, solution = self._golds(row), _solution(row, self.answer)
        return Reading(
            id,
            visible,
            golds,
            solution,
            {key: value_of(row, key) for key in self.metadata},
            messages,
            {key: value_of(row, key) for key in self.reference},
        )

    def _golds(self, row: Row) -> tuple[str, ...]:
        value = value_of(row, self.answer, "answer")
        texts = value if isinstance(value, list) and value else [value]
        golds = (self._gold(_plain(text, row, self.answer), row) for text in texts)
        return tuple(dict.fromkeys(golds))

    def _gold(self, text: str, row: Row) -> str:
        if self.answer_pattern is None:
            return text
        match = re.search(self.answer_pattern, text)
        gold = match and match[min(1, match.re.groups)]
        if not gold or not gold.strip():
            raise ConfigError(
                f"{row.where}: fields.answer_pattern {self.answer_pattern!r} finds no answer in"
                f" the field {self.answer!r}."
            )
        return gold.strip()


def value_of(row: Row, name: str, role: str = "") -> Any:
    """The value of a field.

    Args:
        row: From a source.
        name: Of the field.
        role: What it is for ('question'), to guess what may have been meant.

    Raises:
        ConfigError: There is no such field.
    """
    if name not in row.fields:
        there = ", ".join(row.fields) or "none"
        meant = _meant(row, name, role)
        setting = f" Set task.fields.{role}={meant}." if meant and role else ""
        raise ConfigError(
            f"{row.where} has no field {name!r}; there are: {there}.",
            hint=f"Did you mean {meant!r}?{setting or ' See task.fields.'}"
            if meant
            else "See task.fields.",
        )
    return row.fields[name]


def _meant(row: Row, name: str, role: str) -> str | None:
    spellings = {key.lower(): key for key in reversed(list(row.fields))}
    close = difflib.get_close_matches(name.lower(), spellings, n=1)
    others = [word for word in _SYNONYMS.get(role, "").split() if word in spellings]
    return spellings[(close or others)[0]] if close or others else None


def _text(row: Row, name: str, role: str) -> str:
    return _plain(value_of(row, name, role), row, name)


def _solution(row: Row, name: str) -> str:
    value = row.fields[name]
    return _plain(value[0] if isinstance(value, list) and value else value, row, name)


def _plain(value: Any, row: Row, name: str) -> str:
    """A value as text; 27.0 is '27'."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{row.where}: the field {name!r} must hold a text or a number.")
    return value.strip()


def _turns(row: Row, name: str) -> tuple[Message, ...]:
    turns = value_of(row, name, "messages")
    if not isinstance(turns, list) or not turns:
        raise ConfigError(f"{row.where}: the field {name!r} must hold a list of turns.")
    messages = tuple(_turn(turn, row, name) for turn in turns)
    if messages[-1].role != "user":
        raise ConfigError(
            f"{row.where}: the conversation ends with the {messages[-1].role}, not with the user.",
            hint="Leave out the answer that is asked for; it belongs in task.fields.answer.",
        )
    return messages


def _turn(turn: Any, row: Row, name: str) -> Message:
    role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (0, 0)
    if role not in ("system", "user", "assistant") or not isinstance(content, str):
        raise ConfigError(
            f"{row.where}: a turn of {name!r} must have a role (system, user or assistant) and a"
            f" text as content, not {turn!r:.80}."
        )
    return Message(role, content)
