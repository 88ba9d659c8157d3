"""A task in two parts that share no problem: one to choose by, and one to judge the choice by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from tts.errors import ConfigError
from tts.tasks import Answers, Item, ItemTask, Task
from tts.tasks.task import fingerprint
from tts.types import ProblemId


class Part(ItemTask):
    """Some problems of a task, graded by it.

    Args:
        whole: The task.
        items: Those of its items that belong to the part, at least one.
    """

    def __init__(self, whole: Task, items: Sequence[Item]) -> None:
        self._whole = whole
        answers = cast(Answers, whole.answers)  # equality is the business of the whole's grader
        super().__init__(whole.name, items, answers=answers, max_tokens=whole.max_tokens)

    async def grade(self, problem_id: ProblemId, answer: str | None) -> bool:
        """Whether an answer is right; see `tts.tasks.Task.grade`."""
        return await self._whole.grade(problem_id, answer)


@dataclass(frozen=True, slots=True)
class Split:
    """Which problems belong to which part.

    Attributes:
        pilot: Ids of those to choose by, in the order in which they are used.
        held_out: Ids of those to judge by.
        twins: Problems that were left out, as their text occurs in the pilot.
    """

    pilot: tuple[ProblemId, ...]
    held_out: tuple[ProblemId, ...]
    twins: int

    def parts(self, task: Task) -> tuple[Part, Part]:
        """The same problems of a task, however it puts them: pilot, and held-out part."""
        items = {item.problem.id: item for item in task}
        first, second = ([items[name] for name in ids] for ids in (self.pilot, self.held_out))
        return Part(task, first), Part(task, second)


def split(task: Task, pilot: int, held_out: int) -> Split:
    """Split a task, in its order: the pilot comes first, and does not depend on the rest.

    Args:
        task: With at least `pilot + held_out` problems.
        pilot: Problems to choose by, at least 1.
        held_out: Problems to judge by, at least 1; those whose text occurs in the pilot as well are
            left out.

    Raises:
        ConfigError: The task has too few problems, or no other than those of the pilot.
    """
    items = list(task)
    if len(items) < pilot + held_out:
        raise ConfigError(
            f"Task {task.name} has {len(items):,} problems, and --pilot {pilot} with --held-out"
            f" {held_out} takes {pilot + held_out:,}.",
            hint="Lower one of them.",
        )
    seen = {fingerprint(item.problem) for item in items[:pilot]}
    rest = items[pilot : pilot + held_out]
    fresh = [item.problem.id for item in rest if fingerprint(item.problem) not in seen]
    if not fresh:
        raise ConfigError(f"Task {task.name}: every problem behind the pilot occurs in it as well.")
    first = tuple(item.problem.id for item in items[:pilot])
    return Split(first, tuple(fresh), len(rest) - len(fresh))
