r"""How likely an answer comes out right after each of its tokens, estimated from roll-outs.

The value of a prefix is the probability that an answer drawn on from there is right. Every draw
gives an estimate of the value at each prefix that is its own:

* A roll-out, behind its branch point: 1 if it is right, 0 if not.
* An answer, behind its last branch point: likewise. At a branch point, and before it up to the one
  before that: the mean of R + 1 estimates, those of the R roll-outs and that of the answer itself
  right behind the point.

At or before its branch point a roll-out counts only as a part of this mean. If it counted there by
itself, the prefix would be judged by R + 1 draws that all went through one of its continuations,
and by one draw each of the answers that went elsewhere.

Each estimate's expectation is the value, given all that was drawn up to the prefix. Behind the last
branch point that is the definition. At a branch point, R + 1 independent draws go on from the same
prefix, because that it was to be one was settled before (see `rollouts`), and expectations of means
are means. Before it, walking on from the prefix to the next branch point (or to the end) is a walk
to a stopping time, values are a martingale along an answer, and so the expectation of the value
there is the value here. The mean over all draws that pass a prefix, the label, keeps this: which
draws do pass is settled by the tokens up to there. And it has less variance than the bare outcome.
The method is that of Monte-Carlo process supervision (Wang et al. 2024, "Math-Shepherd").

This module knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.mini.draws import Draw

Values = NDArray[np.float32]


def labels(draws: Sequence[Draw]) -> list[Values]:
    """The label after each token of the draws of one problem.

    Args:
        draws: answers, and roll-outs from prefixes of them.

    Returns:
        For each answer an array of shape (tokens + 1,), from the empty prefix to the whole answer;
        for each roll-out one of shape (tokens,), beginning after its first token.
    """
    paths = _paths(draws)
    own = estimates(draws)
    nodes, values = np.concatenate(paths), np.concatenate(own)
    mean = np.bincount(nodes, values) / np.maximum(np.bincount(nodes), 1)
    return [mean[path].astype(np.float32) for path in paths]


def estimates(draws: Sequence[Draw]) -> list[NDArray[np.float64]]:
    """What each draw by itself says of its prefixes; shapes as those of `labels`."""
    branches: dict[int, dict[int, list[bool]]] = {}
    for draw in draws:
        if draw.parent is not None:
            branches.setdefault(draw.parent, {}).setdefault(draw.at, []).append(draw.right)
    return [
        np.full(len(draw.tokens), float(draw.right))
        if draw.parent is not None
        else _along(draw, branches.get(number, {}))
        for number, draw in enumerate(draws)
    ]


def _along(answer: Draw, branches: dict[int, list[bool]]) -> NDArray[np.float64]:
    """The estimates along an answer, given the outcomes of the roll-outs by branch point."""
    values = np.empty(len(answer.tokens) + 1)
    estimate = float(answer.right)
    end = len(values)
    for at in sorted(branches, reverse=True):
        values[at + 1 : end] = estimate
        estimate = (estimate + sum(branches[at])) / (1 + len(branches[at]))
        end = at + 1
    values[:end] = estimate
    return values


def _paths(draws: Sequence[Draw]) -> list[NDArray[np.int64]]:
    """Numbers of the prefixes that each draw passes; equal prefixes have equal numbers."""
    children: dict[tuple[int, int], int] = {}
    paths: list[list[int]] = []
    for draw in draws:
        start = 0 if draw.parent is None else paths[draw.parent][draw.at]
        path = [start]
        for token in draw.tokens:
            path.append(children.setdefault((path[-1], token), len(children) + 1))
        paths.append(path)
    return [
        np.array(path[draw.parent is not None :], dtype=np.int64)
        for path, draw in zip(paths, draws, strict=True)
    ]
