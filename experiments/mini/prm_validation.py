"""How well a process reward model in training judges answers to problems that are held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import LlamaForTokenClassification

from experiments.mini.draws import Tree
from experiments.mini.prm_data import Rows, build_rows, cut, pad
from experiments.mini.weighted import auc

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of an answer, after which its score is held against its outcome."""


@dataclass(frozen=True)
class Validation:
    """Answers to problems that are held out, without the roll-outs.

    Attributes:
        rows: the answers, with the labels that the roll-outs give them.
        prompts: tokens of the prompt of each; shape (rows,).
        tokens: tokens of each answer without end-of-text; shape (rows,).
        right: the outcome of each; shape (rows,).
        problems: number of the problem of each; shape (rows,).
    """

    rows: Rows
    prompts: NDArray[np.int64]
    tokens: NDArray[np.int64]
    right: NDArray[np.bool_]
    problems: NDArray[np.int64]


def prepare(trees: Sequence[Tree], per_level: int) -> Validation:
    """The answers to the first `per_level` problems of each level."""
    seen: Counter[int] = Counter()
    chosen = []
    for tree in trees:
        seen[tree.level] += 1
        if seen[tree.level] <= per_level:
            chosen.append(tree)
    answers = [
        (number, len(tree.prompt), draw)
        for number, tree in enumerate(chosen)
        for draw in tree.draws
        if draw.parent is None
    ]
    return Validation(
        rows=build_rows(chosen, rollouts=False),
        prompts=np.array([prompt for _, prompt, _ in answers]),
        tokens=np.array([len(draw.tokens) for _, _, draw in answers]),
        right=np.array([draw.right for _, _, draw in answers]),
        problems=np.array([number for number, _, _ in answers]),
    )


def examine(judge: LlamaForTokenClassification, held: Validation, batch_tokens: int) -> str:
    """One line: the loss, and how well scores order the answers.

    The loss (nats a token) stands beside that of the best constant. The areas under the curve are
    of scores after a share of each answer against its outcome; `pairs` is the share of pairs of a
    right and a wrong answer to one problem in which the right one has the higher last score.
    """
    scores = predict(judge, held.rows, batch_tokens)
    learned = ~np.isnan(held.rows.targets)
    targets = held.rows.targets[learned].astype(np.float64)
    loss = _cross_entropy(np.concatenate(scores)[learned], targets)
    constant = _cross_entropy(np.full_like(targets, targets.mean()), targets)
    areas = []
    for part in SHARES:
        places = held.prompts - 1 + np.round(part * held.tokens).astype(np.int64)
        at = np.array([row[place] for row, place in zip(scores, places, strict=True)])
        areas.append(f"{part:.0%} {auc(at, held.right)(np.ones(len(at))):.3f}")
    return (
        f"loss {loss:.4f} (constant {constant:.4f})  AUC after {'  '.join(areas)}  "
        f"pairs {_pairs(at, held):.3f}"
    )


def predict(
    judge: LlamaForTokenClassification, rows: Rows, batch_tokens: int
) -> list[NDArray[np.float64]]:
    """The chance of a right end at each token of each row."""
    found: dict[int, NDArray[np.float64]] = {}
    for members in cut(rows, np.arange(len(rows)), batch_tokens):
        with torch.inference_mode():
            logits = judge(input_ids=pad(rows, members).ids, use_cache=False).logits
        right = logits.double().softmax(-1)[..., 1].numpy()
        found |= {row: right[n, : rows.lengths[row]] for n, row in enumerate(members)}
    return [found[row] for row in range(len(rows))]


def _cross_entropy(scores: NDArray[np.float64], targets: NDArray[np.float64]) -> float:
    terms = targets * np.log(scores) + (1 - targets) * np.log1p(-scores)
    return float(-terms.mean())


def _pairs(scores: NDArray[np.float64], held: Validation) -> float:
    """Of pairs within a problem; ties count half. Not a number if there are none."""
    won = []
    for problem in np.unique(held.problems):
        mine = held.problems == problem
        right, wrong = scores[mine & held.right], scores[mine & ~held.right]
        ahead = right[:, None] - wrong
        won.extend(((np.sign(ahead) + 1) / 2).ravel())
    return float(np.mean(won)) if won else float("nan")
