"""Calibration data: what the model reads while its weights are rounded.

The best is what it will read later: prompts through its own template, followed by its own answers.
So a sample is a problem that the model is yet to answer, or a text or a conversation that somebody
gives whole. Samples that are asked in the evaluation are left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts.engine.text import Text
from tts.errors import ConfigError
from tts.tasks import Task
from tts.tasks.task import fingerprint
from tts.types import Message, Problem, Trajectory

FEWEST = 8
"""Samples below which nothing is calibrated."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Calibration data.

    Attributes:
        source: Where they are from, in words.
        problems: Those that the model is yet to answer.
        whole: Those that are given whole: texts, or conversations that end with an answer.
        left_out: How many were dropped, as the evaluation asks them.
    """

    source: str
    problems: tuple[Problem, ...] = ()
    whole: tuple[str | tuple[Message, ...], ...] = ()
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.problems) + len(self.whole)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over all that is asked and given."""
        asked = [fingerprint(problem) for problem in self.problems]
        given = [
            each if isinstance(each, str) else [[m.role, m.content] for m in each]
            for each in self.whole
        ]
        text = json.dumps([asked, given])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def of_task(task: Task, count: int, asked: Iterable[Problem], source: str) -> Samples:
    """The first problems of a task that the evaluation does not ask.

    Args:
        task: Where they are from.
        count: How many, if there are so many.
        asked: What the evaluation asks.
        source: In words.

    Raises:
        ConfigError: Too few are left.
    """
    return _apart(Samples(source, tuple(item.problem for item in task)), count, asked)


def of_file(file: Path, count: int, asked: Iterable[Problem]) -> Samples:
    """Samples of a JSONL file.

    A line has a `text`, `messages` (whole, if the last is the assistant's), or a `prompt`.

    Args:
        file: To read.
        count: How many are taken, if there are so many.
        asked: What the evaluation asks.

    Raises:
        ConfigError: The file cannot be read, a line cannot be used, or too few are left.
    """
    problems: list[Problem] = []
    whole: list[str | tuple[Message, ...]] = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"calibration: {file} cannot be read: {error}.", hint="Name a task or a JSONL file."
        ) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            sample = _sample(line, f"{file}, line {number}", f"calibration-{number}")
            problems += [sample] if isinstance(sample, Problem) else []
            whole += [] if isinstance(sample, Problem) else [sample]
    return _apart(Samples(file.name, tuple(problems), tuple(whole)), count, asked)


def _sample(line: str, where: str, name: str) -> Problem | str | tuple[Message, ...]:
    try:
        row: Mapping[str, Any] = json.loads(line)
        if isinstance(row.get("text"), str):
            return str(row["text"])
        if isinstance(row.get("prompt"), str):
            return Problem.chat(name, row["prompt"])
        turns = tuple(Message(turn["role"], str(turn["content"])) for turn in row["messages"])
        return turns if turns[-1].role == "assistant" else Problem(name, messages=turns)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ConfigError(
            f"calibration: {where} cannot be used.",
            hint='Each line is an object with a "text", a "prompt" or "messages".',
        ) from error


def _apart(samples: Samples, count: int, asked: Iterable[Problem]) -> Samples:
    """As many samples as are wanted, without those that the evaluation asks."""
    # Whatever a template of the evaluation says around a question, between two spaces it stands.
    questions = [_spaced(_said(problem)) for problem in asked]

    def apart(sample: Problem | str | tuple[Message, ...]) -> bool:
        question = _spaced(_question(sample))
        return not question.strip() or not any(question in each for each in questions)

    problems = [each for each in samples.problems if apart(each)]
    whole = [each for each in samples.whole if apart(each)]
    left_out = len(samples) - len(problems) - len(whole)
    kept = problems[:count]
    found = Samples(samples.source, tuple(kept), tuple(whole[: count - len(kept)]), left_out)
    if len(found) < FEWEST:
        also = f", and {left_out} more that the evaluation asks" if left_out else ""
        raise ConfigError(
            f"calibration: {samples.source} has {len(found)} samples{also}; at least {FEWEST} are"
            " needed.",
            hint="Give another task, or a JSONL file of prompts that are not evaluated.",
        )
    return found


def _question(sample: Problem | str | tuple[Message, ...]) -> str:
    """What is asked in a sample; empty for a plain text."""
    if isinstance(sample, str):
        return ""
    if isinstance(sample, Problem):
        return _said(sample)
    return next((turn.content for turn in reversed(sample) if turn.role == "user"), "")


def _said(problem: Problem) -> str:
    """The last words of a prompt's author."""
    return problem.messages[-1].content if problem.messages else problem.prompt


def _spaced(text: str) -> str:
    """A text with single spaces, also around it."""
    return f" {' '.join(text.split())} "


def sequences(
    samples: Samples,
    answers: Sequence[tuple[Problem, Trajectory]],
    text: Text,
    longest: int,
) -> list[list[int]]:
    """The token ids that the model reads.

    Args:
        samples: What is given whole.
        answers: Problems with the model's own answers.
        text: The model's tokenizer.
        longest: Tokens at which a sequence is cut.

    Raises:
        ConfigError: The model's template refuses a conversation.
    """
    found = [text.encode(problem, answer) for problem, answer in answers]
    for each in samples.whole:
        if isinstance(each, str):
            found.append(text.encode(Problem("text", prompt=each), Trajectory.root()))
        else:
            found.append(text.render(each, generation_prompt=False))
    return [ids[:longest] for ids in found if ids]
