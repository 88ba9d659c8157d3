"""What a process reward model says at every token of answers that are there already.

Plain forward passes in PyTorch, answers of similar length side by side; padding stands on the
right, where causal attention cannot see it. Scores are kept in files of some problems each, so that
a command that was killed goes on from there. What they are worth is for others.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForTokenClassification

from experiments.mini.figures import place_of
from tts.engine import weights_hash
from tts.engine.text import Text, tokenizer_identity
from tts.errors import ConfigError
from tts.evaluation import read
from tts.evaluation.store import RESULTS, Trees
from tts.tasks.mini_problems import generate
from tts.types import Problem, Trajectory

Scores = NDArray[np.float32]

BATCH_TOKENS = 16_384
"""Most tokens in a forward pass, padding included."""
GROUP = 32
"""Problems whose scores are kept in one file."""


@dataclass(frozen=True)
class Answers:
    """All answers to one problem, read by a model.

    Attributes:
        problem_id: Of the problem.
        keys: Equal answers have equal keys; None where there is none.
        right: Whether each is right.
        prompt: Token ids of the prompt.
        tokens: Token ids of each answer, without the end-of-text token.
        scores: For each answer one probability a token, that it comes out right from there; empty
            until a model was asked.
    """

    problem_id: str
    keys: tuple[str | None, ...]
    right: tuple[bool, ...]
    prompt: tuple[int, ...]
    tokens: tuple[tuple[int, ...], ...]
    scores: tuple[Scores, ...] = ()


class RewardModel:
    """A process reward model: at each token two logits, the second of a good end.

    Args:
        path: Directory of the model and its tokenizer.
    """

    def __init__(self, path: Path) -> None:
        self.model = AutoModelForTokenClassification.from_pretrained(path).eval()
        self.text = Text(path, path.name, tokenizer_identity(path))
        self.weights = weights_hash(path)

    def __call__(self, rows: Sequence[Sequence[int]]) -> list[Scores]:
        """For each row of token ids the probability of a good end at each token."""
        found: dict[int, Scores] = {}
        for numbers in _batches([len(row) for row in rows]):
            ids = torch.zeros(len(numbers), len(rows[numbers[-1]]), dtype=torch.int64)
            for place, number in enumerate(numbers):
                ids[place, : len(rows[number])] = torch.tensor(rows[number])
            with torch.inference_mode():
                good = self.model(input_ids=ids).logits.float().softmax(-1)[..., 1].numpy()
            found |= {number: good[at, : len(rows[number])] for at, number in enumerate(numbers)}
        return [found[number] for number in range(len(rows))]


def read_answers(folder: Path, text: Text) -> list[Answers]:
    """The answers of a stage.

    Args:
        folder: Of the stage, or of any run of one arm on problems of `MiniTask`.
        text: The tokenizer that reads them.

    Raises:
        ConfigError: There are none, or they come from several arms.
    """
    if not (folder / RESULTS).exists():
        raise ConfigError(f"{folder} holds no {RESULTS}.", hint="Name the folder of a stage.")
    trees = Trees(folder)
    records = {record.file_key: record for record in read(folder / RESULTS) if not record.failed}
    if len({record.arm for record in records.values()}) != 1:
        raise ConfigError(f"{folder} holds several arms, or none.", hint="Name a stage's folder.")
    found = []
    for record in records.values():
        level, index, split = place_of(record.problem_id)
        problem = Problem.chat(record.problem_id, generate(level, index, split).prompt)
        prompt = text.encode(problem, Trajectory.root())
        written = trees[record.file_key].trajectories()
        found.append(
            Answers(
                record.problem_id,
                tuple(candidate.key for candidate in record.candidates),
                tuple(bool(candidate.correct) for candidate in record.candidates),
                tuple(prompt),
                tuple(tuple(text.encode(problem, t)[len(prompt) :]) for t in written),
            )
        )
    return sorted(found, key=lambda answers: place_of(answers.problem_id))


def score(
    model: RewardModel, answers: Sequence[Answers], out: Path, say: Callable[[str], None]
) -> list[Answers]:
    """The same answers with the model's scores.

    Args:
        model: Scores them.
        answers: Of all problems.
        out: Scores of this model on these answers are kept in here, and not computed again.
        say: Told after each file how far it is.
    """
    digest = hashlib.blake2b(repr([(a.prompt, a.tokens) for a in answers]).encode(), digest_size=8)
    folder = out / f"scores-{model.weights[:16]}-{digest.hexdigest()}"
    folder.mkdir(parents=True, exist_ok=True)
    scored: list[Answers] = []
    for start in range(0, len(answers), GROUP):
        group = answers[start : start + GROUP]
        file = folder / f"{start:06}.npy"
        if not file.exists():
            rows = [answer.prompt + row for answer in group for row in answer.tokens]
            _save(file, np.concatenate(model(rows)))
            say(f"{start + len(group):,} of {len(answers):,} problems scored")
        scored += _attached(group, np.load(file))
    return scored


def _attached(group: Sequence[Answers], flat: Scores) -> Iterator[Answers]:
    """Answers with their scores, from those of all tokens of all prompts with their answers."""
    place = 0
    for answer in group:
        scores = []
        for row in answer.tokens:
            first, place = place + len(answer.prompt), place + len(answer.prompt) + len(row)
            scores.append(flat[first:place])
        yield replace(answer, scores=tuple(scores))


def _save(file: Path, scores: Scores) -> None:
    """Write a file so that a kill leaves all of it or nothing."""
    partial = file.with_suffix(".part")
    with partial.open("wb") as stream:
        np.save(stream, scores)
    os.replace(partial, file)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of rows, the shortest first, cut so that a padded batch stays within the tokens."""
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda n: lengths[n]):
        if batch and (len(batch) + 1) * lengths[number] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
