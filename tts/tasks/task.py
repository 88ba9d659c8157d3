"""What a task is: problems, their gold answers, and how answers are written and graded.

The gold answer lies beside the problem, never in it: strategies and verifiers are given problems
alone, so that no way of spending compute can peek.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from tts.errors import ConfigError
from tts.protocols import AnswerFormat
from tts.tasks.answers import MathAnswers
from tts.tasks.grading import grade
from tts.types import Problem, ProblemId


@dataclass(frozen=True, slots=True)
class Item:
    """A problem, and beside it the right answer."""

    problem: Problem
    gold: str


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


class ItemTask:
    """A task whose items are in memory; the base of those that come with `tts`.

    Args:
        name: What results are filed under.
        items: The problems with their gold answers; ids are unique.
        answers: How answers are written.
        max_tokens: Tokens that a whole answer may take, at least 1.

    Raises:
        ConfigError: There are no items, two share an id, or `max_tokens` is below 1.
    """

    def __init__(
        self,
        name: str,
        items: Iterable[Item],
        *,
        answers: AnswerFormat | None = None,
        max_tokens: int = 1024,
    ) -> None:
        self.name = name
        self.items = tuple(items)
        self.answers: AnswerFormat = answers or MathAnswers()
        self.max_tokens = max_tokens
        self._golds = {item.problem.id: item.gold for item in self.items}
        if not self.items:
            raise ConfigError(f"Task {name} has no problems.")
        if len(self._golds) < len(self.items):
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
            row = [problem.id, problem.prompt, turns, item.gold]
            digest.update(json.dumps(row).encode() + b"\n")
        return digest.hexdigest()

    async def grade(self, problem_id: ProblemId, answer: str | None) -> bool:
        """Whether an answer is right, by `tts.tasks.grade`.

        Raises:
            ConfigError: There is no such problem.
            GradingError: The grader crashed.
        """
        gold = self._golds.get(problem_id)
        if gold is None:
            raise ConfigError(
                f"Task {self.name} has no problem {problem_id!r}.",
                hint="Results of another data set, or of another part of this one?",
            )
        return await grade(answer, gold)
