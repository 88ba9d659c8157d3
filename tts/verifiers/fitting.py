"""How curves and probes are fitted on answers of which it is known whether they are right.

Pure. Sources: Zadrozny & Elkan 2002 (isotonic curves, by pooling adjacent violators); Platt 1999
(sigmoids, with targets that keep a clean split from certainty).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tts._author import Author
from tts.errors import ConfigError
from tts.types import Scale
from tts.verifiers.curves import Isotonic, Method, Platt, straight
from tts.verifiers.probe import ProbeFit, Written, features

Floats = NDArray[np.float64]

RIDGE = 1.0
"""Pull of a probe's weights towards 0, as of one answer."""


def fit_curve(
    raws: Sequence[float], right: Sequence[bool], scale: Scale, method: Method
) -> Isotonic | Platt:
    """Fit a curve from scores to the share of right answers.

    Args:
        raws: Scores, at least one; shape (n,).
        right: Whether the answer is right; shape (n,).
        scale: Of the scores.
        method: `isotonic` fits any rising curve, and wants a thousand answers or more; `platt` has
            two parameters, and does with a few dozen.

    Raises:
        ConfigError: All answers are right, or all wrong.
    """
    _check(right)
    y = np.asarray(right, dtype=np.float64)
    if method == "isotonic":
        return _isotonic(np.asarray(raws, dtype=np.float64), y)
    return _platt(np.array([straight(raw, scale) for raw in raws]), y, scale)


def fit_probe(answers: Sequence[Written], author: Author) -> ProbeFit:
    """Fit a probe on answers at all lengths: each is learned from at 16, 32, 64, ... tokens too.

    Args:
        answers: By one model.
        author: That model.

    Raises:
        ConfigError: There are none, or all are right, or all wrong.
    """
    _check([answer.right for answer in answers])
    rows = [(features(*part), answer.right) for answer in answers for part in answer.beginnings()]
    table = np.array([row for row, _ in rows])
    right = np.array([mark for _, mark in rows], dtype=np.float64)
    weights, offset = fit_logistic(table, right, RIDGE)
    return ProbeFit(
        model=author,
        n_problems=len({answer.problem for answer in answers}),
        n_answers=len(rows),
        weights=tuple(weights.tolist()),
        offset=offset,
    )


def _check(right: Sequence[bool]) -> None:
    if len(set(right)) < 2:
        kind = "right" if any(right) else "wrong"
        raise ConfigError(
            f"All {len(right):,} answers to fit on are {kind}, which teaches nothing.",
            hint="Take a run with right and wrong answers: more problems, or harder ones.",
        )


def _isotonic(raws: Floats, right: Floats) -> Isotonic:
    from scipy.optimize import isotonic_regression  # takes a second to import

    xs, where = np.unique(raws, return_inverse=True)
    counts = np.bincount(where)
    ys = isotonic_regression(np.bincount(where, right) / counts, weights=counts).x
    steps = ys[1:] != ys[:-1]
    kept = np.concatenate([[True], steps]) | np.concatenate([steps, [True]])  # ends of steps
    return Isotonic(xs=tuple(xs[kept].tolist()), ys=tuple(np.clip(ys[kept], 0, 1).tolist()))


def _platt(line: Floats, right: Floats, scale: Scale) -> Platt:
    hits = float(right.sum())
    targets = np.where(right > 0, (hits + 1) / (hits + 2), 1 / (len(right) - hits + 2))
    (slope,), offset = fit_logistic(line[:, None], targets, ridge=0.0)
    return Platt(scale=scale, slope=float(slope), offset=offset)


def fit_logistic(features: Floats, targets: Floats, ridge: float) -> tuple[Floats, float]:
    """The weights that make the targets likeliest.

    Args:
        features: Shape (n, d).
        targets: Shape (n,); the chance of each, 0 to 1.
        ridge: Pull of the weights towards 0, at least 0, in units of one answer: half of it times
            the squared weights of the standardised features is added to the loss. The offset is
            not pulled.

    Returns:
        The weights, shape (d,), and the offset: the chance is `sigmoid(features @ weights + b)`.
    """
    from scipy.optimize import minimize  # takes a second to import

    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread[spread == 0] = 1.0  # says nothing, and gets a weight of 0 by the pull
    table = np.column_stack([(features - centre) / spread, np.ones(len(features))])
    pull = np.full(table.shape[1], max(ridge, 1e-6))
    pull[-1] = 0.0

    def loss(line: Floats) -> tuple[float, Floats]:
        z = table @ line
        value = np.sum(np.logaddexp(0, z) - targets * z) + 0.5 * np.sum(pull * line**2)
        return float(value), table.T @ (sigmoid(z) - targets) + pull * line

    def bend(line: Floats) -> Floats:
        p = sigmoid(table @ line)
        curved: Floats = (table * (p * (1 - p))[:, None]).T @ table + np.diag(pull)
        return curved

    start = np.zeros(table.shape[1])
    line = minimize(loss, start, jac=True, hess=bend, method="trust-exact", tol=1e-8).x
    weights = line[:-1] / spread
    return weights, float(line[-1] - weights @ centre)


def sigmoid(z: Floats) -> Floats:
    """The chance that belongs to a logit, without overflow."""
    chance: Floats = 0.5 * (1 + np.tanh(0.5 * z))
    return chance
