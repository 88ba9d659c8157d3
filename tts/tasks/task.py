"""What a task is: problems, their gold answers, and how answers are written and graded.

The gold answer lies beside the problem, never in it: strategies and verifiers are given problems
alone, so that no way of spending compute can peek.

Two parts share the judgement. A format (`Answers`) knows texts alone: how an answer is written, and
when two of them are the same. A `Grader` knows what is right; most only ask the format whether an
answer is the same as the gold one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from tts.errors import ConfigError
from tts.protocols import AnswerFormat
from tts.tasks.answers import MathAnswers
from tts.types import Problem, ProblemId

_quoted = json.encoder.encode_basestring_ascii


@dataclass(frozen=True, slots=True)
class Item:
    """A problem, and beside it the right answer.

    Attributes:
        problem: All that strategies and verifiers see.
        gold: The right answer, not empty; None if nobody knows it.
        accepted: Further answers that are as right.
        reference: What else a grader needs, of JSON types: tests, the entry of a generator.
    """

    problem: Problem
    gold: str | None = None
    accepted: tuple[str, ...] = ()
    reference: Mapping[str, Any] = field(default_factory=dict)


def fingerprint(problem: Problem) -> str:
    """16 hexadecimal digits: what is asked, whatever it is called."""
    turns = [f"[{_quoted(turn.role)}, {_quoted(turn.content)}]" for turn in problem.messages]
    # JSON, put together by hand: it is made for each line of a long file.
    text = f"[{_quoted(problem.prompt)}, [{', '.join(turns)}]]"
    if problem.structure is not None:
        text += json.dumps(problem.structure.as_dict(), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Answers(AnswerFormat, Protocol):
    """A format that can also say whether an answer may pass for another one."""

    async def equal(self, answer: str, gold: str) -> bool:
        """Whether two answers are the same for a grade.

        Equal keys are equal answers. The reverse need not hold: closeness, say, makes no groups.

        Raises:
            GradingError: The comparison crashed.
        """
        ...


class Grader(Protocol):
    """Says whether an answer is right. A class that fits is a plug-in."""

    async def right(self, answer: str, item: Item) -> bool:
        """Whether an answer, as extracted, solves the problem of an item.

        Raises:
            GradingError: The grader crashed.
        """
        ...


@dataclass(frozen=True)
class SameAsGold:
    """Right is what equals the gold answer, or another accepted one, by a format.

    Attributes:
        answers: Says when two answers are the same.
    """

    answers: Answers

    async def right(self, answer: str, item: Item) -> bool:
        """Whether the answer equals one of the item's."""
        for gold in (item.gold, *item.accepted):
            if gold is not None and await self.answers.equal(answer, gold):
                return True
        return False


class Task(Protocol):
    """A set of problems that can be graded. A class that fits is a plug-in."""

    @property
    def name(self) -> str:
        """What results are filed under."""
        ...

    @property
    def answers(self) -> AnswerFormat:
        """How answers are written."""
        ...

    @property
    def max_tokens(self) -> int:
        """Tokens that a whole answer may take, at least 1."""
        ...

    @property
    def digest(self) -> str:
        """Identity of the content: what is asked, in this order, and what is right."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Item]: ...

    async def grade(self, problem_id: ProblemId, answer: str | None) -> bool:
        """Whether an answer is right.

        Raises:
            ConfigError: There is no such problem.
            GradingError: The grader crashed.
        """
        ...


@runtime_checkable
class Indexed(Protocol):
    """A task that tells what it holds without being read to its end.

    For long ones, which are taken up again after some of their problems were solved.
    """

    @property
    def ids(self) -> Collection[ProblemId]:
        """Of all problems, in their order."""
        ...

    def asked(self, problem_id: ProblemId) -> str:
        """The fingerprint of a problem of this task."""
        ...

    def items(self, ids: Iterable[ProblemId]) -> Iterator[Item]:
        """Some of its problems, in the order of the ids."""
        ...


class ItemTask:
    """A task whose items are in memory; the base of those that come with `tts`.

    Args:
        name: What results are filed under.
        items: The problems with their gold answers; ids are unique.
        answers: How answers are written; `MathAnswers()` by default.
        grader: Says what is right; by default what `answers` calls equal to the gold answer.
        max_tokens: Tokens that a whole answer may take, at least 1.

    Raises:
        ConfigError: There are no items, two share an id, or `max_tokens` is below 1.
    """

    def __init__(
        self,
        name: str,
        items: Iterable[Item],
        *,
        answers: Answers | None = None,
        grader: Grader | None = None,
        max_tokens: int = 1024,
    ) -> None:
        self.name = name
        self.items = tuple(items)
        self.answers: Answers = answers or MathAnswers()
        self.grader: Grader = grader or SameAsGold(self.answers)
        self.max_tokens = max_tokens
        self._by_id = {item.problem.id: item for item in self.items}
        if not self.items:
            raise ConfigError(f"Task {name} has no problems.")
        if len(self._by_id) < len(self.items):
            raise ConfigError(f"Task {name} has two problems with the same id.")
        if max_tokens < 1:
            raise ConfigError(f"max_tokens of task {name} is {max_tokens}; it must be at least 1.")

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    @property
    def problems(self) -> list[Problem]:
        """What strategies may see."""
        return [item.problem for item in self.items]

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits: what is asked, in this order, and what is right."""
        digest = hashlib.blake2b(digest_size=8)
        for item in self.items:
            problem = item.problem
            turns = [[message.role, message.content] for message in problem.messages]
            row: list[Any] = [problem.id, problem.prompt, turns, item.gold]
            if item.accepted or item.reference:
                row += [item.accepted, dict(item.reference)]
            digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
        return digest.hexdigest()

    async def grade(self, problem_id: ProblemId, answer: str | None) -> bool:
        """Whether an answer is right, by the grader of this task; no answer never is.

        Raises:
            ConfigError: There is no such problem.
            GradingError: The grader crashed.
        """
        item = self._by_id.get(problem_id)
        if item is None:
            raise ConfigError(
                f"Task {self.name} has no problem {problem_id!r}.",
                hint="Results of another data set, or of another part of this one?",
            )
        return answer is not None and await self.grader.right(answer, item)
