"""The task of the shipped model: balanced, reproducible, and without a file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from tts.errors import ConfigError
from tts.tasks import MathAnswers, MiniTask
from tts.tasks.mini_problems import LEVELS, generate, split_of
from tts.types import Message

CONFIGS = Path(__file__).parents[2] / "configs"


def test_any_first_part_is_balanced() -> None:
    levels = [problem.metadata["level"] for problem in MiniTask((2, 4, 5), n_problems=50).problems]
    for end in range(1, 51):
        counts = Counter(levels[:end])
        assert max(counts.values()) - min(counts[level] for level in (2, 4, 5)) <= 1


def test_problems_are_those_of_the_generator() -> None:
    task = MiniTask((3, 6), n_problems=4, split="validation", offset=5)
    expected = [generate(level, index, "validation") for index in (5, 6) for level in (3, 6)]
    for item, problem in zip(task, expected, strict=True):
        assert item.problem.id == problem.id
        assert item.problem.messages == (Message("user", problem.prompt),)
        assert item.problem.metadata == {"level": problem.level}
        assert item.gold == problem.answer


def test_more_problems_begin_with_the_same() -> None:
    assert MiniTask(n_problems=100).items[:30] == MiniTask(n_problems=30).items
    assert MiniTask().digest == MiniTask().digest != MiniTask(offset=1).digest


def test_no_prompt_occurs_twice() -> None:
    prompts = [item.problem.messages[0].content for item in MiniTask((1,), n_problems=700)]
    assert len(set(prompts)) == 700
    assert {split_of(prompt) for prompt in prompts} == {"test"}


async def test_worked_solutions_are_right() -> None:
    task = MiniTask(n_problems=120)
    assert Counter(item.problem.metadata["level"] for item in task) == dict.fromkeys(LEVELS, 20)
    for item in task:
        assert item.gold
        _, _, level, index = item.problem.id.split("-")
        solution = generate(int(level), int(index), "test").solution
        assert await task.grade(item.problem.id, task.answers.extract(solution))
        unfinished = solution[: solution.rindex("}")]
        assert task.answers.extract(unfinished) is None
        landed = unfinished[: unfinished.rindex("\\")] + task.answers.landing + item.gold + "}"
        assert task.answers.extract(landed) == item.gold
        assert not await task.grade(item.problem.id, str(int(item.gold) + 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": (1, 7)}, "different levels from 1 to 6"),
        ({"levels": ()}, "different levels from 1 to 6"),
        ({"levels": (2, 2)}, "different levels from 1 to 6"),
        ({"n_problems": 0}, "n_problems is 0"),
        ({"split": "dev"}, "split is 'dev'"),
        ({"offset": -1}, "offset is -1"),
        ({"levels": (1,), "n_problems": 5000}, "Level 1 has hardly more than"),
        ({"max_tokens": 0}, "max_tokens of task mini is 0"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MiniTask(**arguments)


def test_the_configuration_is_the_default() -> None:
    with initialize_config_dir(str(CONFIGS), version_base=None):
        task = instantiate(compose(overrides=["+task=mini"]).task)
    assert isinstance(task, MiniTask)
    assert task.digest == MiniTask().digest
    assert task.max_tokens == MiniTask().max_tokens == 224
    assert task.answers == MiniTask().answers == MathAnswers(fallback_last_number=False)
