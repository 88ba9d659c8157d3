"""Batches of solved problems as token ids: an endless stream that the seed determines.

A reasoner learns the worked solution of a problem, a thinker a trace of thinking.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from experiments.mini.config import Thinking, Training
from experiments.mini.tokenizer import END, chat_text
from experiments.mini.traces import Trace, trace
from tts.tasks.mini_problems import LEVELS, MiniProblem, generate

IGNORED = -100
"""The label of a token that does not count in the loss."""


@dataclass(frozen=True)
class Batch:
    """Token ids and labels, both of shape (rows, longest row) and type int64.

    Labels equal the ids at the tokens of solutions, and are `IGNORED` at prompts, padding and what
    a thinker is not to learn: the results of slips, and an end of thinking that came too early.
    """

    ids: torch.Tensor
    labels: torch.Tensor


def batches(
    tokenizer: PreTrainedTokenizerFast, training: Training, thinking: Thinking | None = None
) -> Iterator[Batch]:
    """Yields batches for ever; all levels are equally frequent, no problem index comes twice.

    Args:
        tokenizer: a reasoner's, or a thinker's.
        training: seed and sizes of the batches.
        thinking: of a thinker, what its traces are made of.
    """
    levels = sorted(LEVELS)
    first = 0
    while True:
        problems = [
            generate(levels[n % len(levels)], n // len(levels), "train")
            for n in range(first, first + training.pool)
        ]
        first += training.pool
        if thinking is None:
            examples = encode(problems, tokenizer)
        else:
            examples = encode_traces(problems, tokenizer, thinking, training.seed)
        rows = _cut(examples, training.batch_tokens)
        random.Random(f"{training.seed}/{first}").shuffle(rows)
        for members in rows:
            yield _pad(members)


@dataclass(frozen=True)
class Example:
    """The token ids of a prompt and its solution.

    Attributes:
        ids: all of them.
        prompt: how many of them are the prompt.
        ignored: places in the solution that do not count in the loss.
    """

    ids: list[int]
    prompt: int
    ignored: tuple[int, ...] = ()


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


def encode_traces(
    problems: list[MiniProblem],
    tokenizer: PreTrainedTokenizerFast,
    thinking: Thinking,
    seed: int,
) -> list[Example]:
    """Token ids of problems with a trace of thinking each, drawn with the seed and the problem."""
    return [
        _encode_trace(
            problem, trace(problem, thinking, random.Random(f"{seed}/{problem.id}")), tokenizer
        )
        for problem in problems
    ]


def _encode_trace(
    problem: MiniProblem, drawn: Trace, tokenizer: PreTrainedTokenizerFast
) -> Example:
    texts, counts = zip(*drawn.parts(), strict=True)
    prompt, *parts = tokenizer([chat_text(problem.prompt), *texts])["input_ids"]
    ids, ignored = list(prompt), list[int]()
    for part, counted in zip(parts, counts, strict=True):
        ignored += [] if counted else range(len(ids), len(ids) + len(part))
        ids += part
    return Example(ids, len(prompt), tuple(ignored))


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
        labels[row, list(member.ignored)] = IGNORED
    return Batch(ids, labels)
