"""Roll-outs as training rows, and batches of them: an endless stream that the seed determines.

A row is a prompt with an answer; each of its tokens has a target, the chance of a right end, or
none. Rows lie one behind the other in flat arrays, so that many of them take little memory.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from experiments.mini.config import Training
from experiments.mini.draws import Draw, Tree
from experiments.mini.tokenizer import END, VOCABULARY
from experiments.mini.values import labels

_END = VOCABULARY.index(END)


@dataclass(frozen=True)
class Rows:
    """Rows in flat arrays.

    Attributes:
        ids: token ids of all rows, shape (tokens,).
        targets: chance of a right end after each token, not a number where none is learned: in
            prompts but for their last token, and where another row has the same prefix already.
        starts: where each row starts, and the end of the last; shape (rows + 1,).
    """

    ids: NDArray[np.uint8]
    targets: NDArray[np.float32]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row."""
        return np.diff(self.starts)


@dataclass(frozen=True)
class Batch:
    """Token ids (int64) and targets (float32), both of shape (rows, longest row).

    Padding stands on the right, where causal attention cannot see it, and has no target.
    """

    ids: torch.Tensor
    targets: torch.Tensor


def held_out(tree: Tree, one_in: int) -> bool:
    """Whether a problem is for validation; those with one prompt are on one side together."""
    digest = hashlib.blake2b(bytes(tree.prompt), digest_size=8).digest()
    return int.from_bytes(digest, "big") % one_in == 0


def build_rows(trees: Sequence[Tree], *, rollouts: bool = True) -> Rows:
    """One row for each answer and, if wanted, for each roll-out; both make the targets."""
    parts = [
        _row(tree, draw, values)
        for tree in trees
        for draw, values in zip(tree.draws, labels(tree.draws), strict=True)
        if rollouts or draw.parent is None
    ]
    ids, targets = zip(*parts, strict=True)
    starts = np.cumsum([0, *map(len, ids)])
    return Rows(np.concatenate(ids), np.concatenate(targets), starts)


def _row(
    tree: Tree, draw: Draw, values: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Ids and targets of a draw; the end-of-text token is as good as the whole answer."""
    ended = [_END] if draw.ended else []
    ids = np.array([*tree.prompt, *tree.answer(draw), *ended], dtype=np.uint8)
    targets = np.full(len(ids), np.nan, dtype=np.float32)
    stop = len(ids) - len(ended)
    targets[stop - len(values) : stop] = values
    targets[stop:] = draw.right
    return ids, targets


def steps(rows: Rows, training: Training, parts: int) -> Iterator[tuple[Batch, ...]]:
    """Yields for ever what one optimiser step learns from; each epoch has all rows once.

    A batch has rows of similar length, so mostly of one level, and on some levels nearly all is
    right or wrong. Therefore a step takes several, of random lengths.

    Args:
        rows: to learn from.
        training: `batch_tokens` is for all parts of a step together.
        parts: batches in a step.
    """
    stream = _batches(rows, training, training.batch_tokens // parts)
    while True:
        yield tuple(itertools.islice(stream, parts))


def _batches(rows: Rows, training: Training, batch_tokens: int) -> Iterator[Batch]:
    for epoch in itertools.count():
        rng = np.random.default_rng((training.seed, epoch))
        order = rng.permutation(len(rows))
        for first in range(0, len(rows), training.pool):
            groups = cut(rows, order[first : first + training.pool], batch_tokens)
            for place in rng.permutation(len(groups)):
                yield pad(rows, groups[place])


def cut(rows: Rows, members: NDArray[np.int64], batch_tokens: int) -> list[NDArray[np.int64]]:
    """Groups rows of similar length so that a padded group stays within the tokens.

    A row that is longer by itself makes a group of one.
    """
    lengths = rows.lengths[members]
    order = np.argsort(lengths, kind="stable")
    groups, first = [], 0
    for place, length in enumerate(lengths[order]):
        if place > first and (place + 1 - first) * length > batch_tokens:
            groups.append(members[order[first:place]])
            first = place
    return [*groups, members[order[first:]]]


def pad(rows: Rows, members: NDArray[np.int64]) -> Batch:
    """A batch of these rows."""
    longest = int(rows.lengths[members].max())
    ids = torch.zeros(len(members), longest, dtype=torch.int64)
    targets = torch.full((len(members), longest), torch.nan)
    for place, row in enumerate(members):
        span = slice(rows.starts[row], rows.starts[row + 1])
        length = span.stop - span.start
        ids[place, :length] = torch.from_numpy(rows.ids[span].astype(np.int64))
        targets[place, :length] = torch.from_numpy(rows.targets[span])
    return Batch(ids, targets)
