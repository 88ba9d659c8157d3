"""Batches of solved problems as token ids: an endless stream that the seed determines."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from experiments.mini.config import Training
from experiments.mini.tokenizer import END, chat_text
from tts.tasks.mini_problems import LEVELS, MiniProblem, generate

IGNORED = -100
"""The label of a token that does not count in the loss."""


@dataclass(frozen=True)
class Batch:
    """Token ids and labels, both of shape (rows, longest row) and type int64.

    Labels equal the ids at the tokens of solutions, and are `IGNORED` at prompts and padding.
    """

    ids: torch.Tensor
    labels: torch.Tensor


def batches(tokenizer: PreTrainedTokenizerFast, training: Training) -> Iterator[Batch]:
    """Yields batches for ever; all levels are equally frequent, no problem index comes twice."""
    levels = sorted(LEVELS)
    first = 0
    while True:
        problems = [
            generate(levels[n % len(levels)], n // len(levels), "train")
            for n in range(first, first + training.pool)
        ]
        first += training.pool
        rows = _cut(encode(problems, tokenizer), training.batch_tokens)
        random.Random(f"{training.seed}/{first}").shuffle(rows)
        for members in rows:
            yield _pad(members)


@dataclass(frozen=True)
class Example:
    """The token ids of a prompt and its solution, and how many of them are the prompt."""

    ids: list[int]
    prompt: int


def encode(problems: list[MiniProblem], tokenizer: PreTrainedTokenizerFast) -> list[Example]:
    """Token ids of problems with their solutions and the end-of-text token."""
    prompts = [chat_text(problem.prompt) for problem in problems]
    texts = [text + problem.solution + END for text, problem in zip(prompts, problems, strict=True)]
    return [
        Example(ids, len(prompt))
        for ids, prompt in zip(
            tokenizer(texts)["input_ids"], tokenizer(prompts)["input_ids"], strict=True
        )
    ]


def _cut(examples: list[Example], batch_tokens: int) -> list[list[Example]]:
    """Groups examples of similar length so that a padded group stays within the tokens."""
    groups: list[list[Example]] = []
    for example in sorted(examples, key=lambda example: len(example.ids)):
        if not groups or (len(groups[-1]) + 1) * len(example.ids) > batch_tokens:
            groups.append([])
        groups[-1].append(example)
    return groups


def _pad(members: list[Example]) -> Batch:
    longest = max(len(member.ids) for member in members)
    ids = torch.zeros(len(members), longest, dtype=torch.int64)
    labels = torch.full_like(ids, IGNORED)
    for row, member in enumerate(members):
        ids[row, : len(member.ids)] = torch.tensor(member.ids)
        labels[row, member.prompt : len(member.ids)] = torch.tensor(member.ids[member.prompt :])
    return Batch(ids, labels)
