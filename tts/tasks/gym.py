"""Problems made by the generators of `reasoning-gym`, and graded by their own scorers.

The library is optional (`pip install 'tts-scaling[tasks]'`) and imported when the first problem is
made. Scoring happens elsewhere, in `tts.tasks._gym_worker`: some scorers evaluate what the model
wrote, or can take for ever.
"""

from __future__ import annotations

import difflib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tts.errors import ConfigError, GradingError
from tts.tasks._pool import Workers
from tts.tasks.sources import Row
from tts.tasks.task import Item

_LONGEST = 8000  # characters; longer answers are not right
_workers = Workers("tts.tasks._gym_worker", size=max(1, min(4, (os.cpu_count() or 1) // 2)))


@dataclass(frozen=True)
class ReasoningGym:
    """A generator; the path is its name, such as 'leg_counting'.

    Rows hold `question`, `answer`, `metadata`, and `entry`, which says to `GymScore` what is asked.
    Where there are many right answers and the generator names none, `answer` says so in words.

    Attributes:
        size: How many problems there are in all, at least 1.
        seed: Equal seeds and settings give equal problems.
        config: Settings of the generator, by its own names (`max_animals`).
    """

    size: int = 1000
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)

    def rows(self, path: str) -> Iterator[Row]:
        """The problems, made one by one.

        Raises:
            ConfigError: `reasoning-gym` is not installed, or has no such generator or setting.
        """
        settings = {**self.config, "seed": self.seed, "size": self.size}
        made = create(path, settings)
        for index in range(self.size):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                entry = made[index]
            fields = {
                "question": entry["question"],
                "answer": entry["answer"] or f"whatever {path} scores as right",
                "metadata": json.loads(json.dumps(entry["metadata"], default=str)),
                "entry": {"generator": path, "settings": settings, "index": index},
            }
            yield Row(index, f"{path}, problem {index}", fields)


@dataclass(frozen=True)
class GymScore:
    """Right is what the generator's own scorer gives enough points. Implements `Grader`.

    The item's reference holds the `entry` of a row of `ReasoningGym`.

    Attributes:
        threshold: Points from which an answer is right, above 0 and at most 1. Some scorers give a
            part of a point for a part of an answer, or for its mere form.
        seconds: Time limit for one answer, above 0; what takes longer is not right.
    """

    threshold: float = 1.0
    seconds: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"grader.threshold is {self.threshold}; it must lie in (0, 1].")
        if self.seconds <= 0:
            raise ConfigError(f"grader.seconds is {self.seconds}; it must be above 0.")

    async def right(self, answer: str, item: Item) -> bool:
        """Whether an answer gets enough points.

        Raises:
            GradingError: The scorer crashed twice, or its process does not start.
        """
        score = await self.score(answer, item)
        return score >= self.threshold

    async def score(self, answer: str, item: Item) -> float:
        """The points of an answer, 0 to 1; 0 for one that takes too long.

        Raises:
            GradingError: The scorer crashed twice, or its process does not start.
        """
        if len(answer) > _LONGEST:
            return 0.0
        entry = item.reference["entry"]
        request = [entry["generator"], json.dumps(entry["settings"]), str(entry["index"]), answer]
        try:
            reply = await _workers.ask(request, self.seconds)
        except TimeoutError:
            return 0.0
        if not isinstance(reply, int | float):
            raise GradingError(f"reasoning-gym cannot score {item.problem.id!r}: {reply}")
        return float(reply)


def create(name: str, settings: Mapping[str, Any]) -> Any:
    """A generator with its settings.

    Raises:
        ConfigError: `reasoning-gym` is not installed, or has no such generator or setting.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import reasoning_gym
            from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise ConfigError(
            f"Making the problems of {name} needs the library reasoning-gym, which cannot be"
            f" imported: {error}.",
            hint="Install it: pip install 'tts-scaling[tasks]'.",
        ) from error
    if name not in DATASETS:
        close = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(DATASETS)}."
        raise ConfigError(f"reasoning-gym has no generator {name!r}.", hint=hint)
    try:
        return reasoning_gym.create_dataset(name, **settings)
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigError(
            f"The settings of the generator {name} cannot be used: {error}.",
            hint="See task.source.config, task.source.size and task.source.seed.",
        ) from error
