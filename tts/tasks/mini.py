"""Arithmetic of graded difficulty as a task: what the model that comes with `tts` can do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tts.errors import ConfigError
from tts.tasks.answers import MathAnswers
from tts.tasks.mini_problems import LEVELS, MiniProblem, Split, generate
from tts.tasks.task import Answers, Item, ItemTask
from tts.types import Message, Problem

_MOST_REPEATS = 1000
"""Draws in a row that hold nothing new, after which a level counts as used up."""


class MiniTask(ItemTask):
    """Problems such as ``47+6*8-29=``, without files; see `tts.tasks.mini_problems`.

    The levels take turns, so that any first part of the task has them in equal shares. No prompt
    occurs twice.

    Args:
        levels: Difficulties, each 1 to 6.
        n_problems: How many problems, at least 1.
        split: Which part of all problems to draw from: 'train', 'validation' or 'test'.
        offset: Index of the first problem of each level, at least 0.
        answers: How answers are written; in a box alone by default, since what is cut off ends on
            a number that is no answer.
        max_tokens: Tokens that a whole answer may take, at least 1; the longest solutions have 220.
        name: What results are filed under.

    Raises:
        ConfigError: An argument cannot be used, or a level has too few problems.
    """

    def __init__(
        self,
        levels: Sequence[int] = tuple(LEVELS),
        *,
        n_problems: int = 200,
        split: Split = "test",
        offset: int = 0,
        answers: Answers | None = None,
        max_tokens: int = 224,
        name: str = "mini",
    ) -> None:
        _check(levels, n_problems, split, offset)
        streams = [_distinct(level, offset, split) for level in levels]
        items = [_item(next(streams[i % len(streams)])) for i in range(n_problems)]
        in_a_box = MathAnswers(fallback_last_number=False)
        super().__init__(name, items, answers=answers or in_a_box, max_tokens=max_tokens)


def _check(levels: Sequence[int], n_problems: int, split: str, offset: int) -> None:
    unknown = [level for level in levels if level not in LEVELS]
    if unknown or not levels or len(set(levels)) < len(levels):
        raise ConfigError(
            f"levels is {list(levels)}; it must hold different levels from"
            f" {min(LEVELS)} to {max(LEVELS)}."
        )
    if n_problems < 1:
        raise ConfigError(f"n_problems is {n_problems}; it must be at least 1.")
    if split not in ("train", "validation", "test"):
        raise ConfigError(f"split is {split!r}; it must be train, validation or test.")
    if offset < 0:
        raise ConfigError(f"offset is {offset}; it must be at least 0.")


def _distinct(level: int, index: int, split: Split) -> Iterator[MiniProblem]:
    """The problems of a level from an index on, without those whose prompt came before."""
    seen: set[str] = set()
    repeats = 0
    while repeats < _MOST_REPEATS:
        problem = generate(level, index, split)
        index += 1
        repeats += 1
        if problem.prompt not in seen:
            seen.add(problem.prompt)
            repeats = 0
            yield problem
    raise ConfigError(
        f"Level {level} has hardly more than {len(seen)} problems in split {split}.",
        hint="Take fewer problems, or further levels.",
    )


def _item(problem: MiniProblem) -> Item:
    messages = (Message("user", problem.prompt),)
    return Item(
        Problem(problem.id, messages=messages, metadata={"level": problem.level}), problem.answer
    )
