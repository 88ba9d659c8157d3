"""How far samples of answers to one problem lie apart: uncertainty without log-probabilities.

Pure. Works for models of which nothing is known but their texts. Sources: Farquhar et al. 2024,
"Detecting hallucinations in large language models using semantic entropy" (its discrete variant,
with answers of one key as one meaning); Lin et al. 2023, "Generating with Confidence: Uncertainty
Quantification for Black-box Large Language Models" (the rest, with W the matrix of similarities,
its degrees d_i the sums of its rows, and the Jaccard similarity of words for their judge of
entailment, which would be a second model).
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

Matrix = Sequence[Sequence[float]]

_WORD = re.compile(r"\w+")
_NEAR = 0.9  # eigenvectors below it are those of clusters; the threshold of the authors' program


def semantic_entropy(keys: Sequence[str | None], weights: Sequence[float] | None = None) -> float:
    """Entropy of the distribution over distinct answers, in nats.

    Args:
        keys: Of the answers of the samples; None for one without an answer, which is left out.
        weights: Of the samples, at least 0, such as their probabilities; by default all the same.

    Returns:
        0 for samples that agree, or none, up to the logarithm of their number.
    """
    shares: defaultdict[str, float] = defaultdict(float)
    for key, weight in zip(keys, weights or [1.0] * len(keys), strict=True):
        if key is not None:
            shares[key] += weight
    total = math.fsum(shares.values())
    parts = [share / total for share in shares.values() if share > 0]
    return max(0.0, -math.fsum(part * math.log(part) for part in parts))


def similarities(texts: Sequence[str]) -> list[list[float]]:
    """Jaccard similarity of the words of all pairs of texts, 0 to 1, shape (n, n).

    Words are compared regardless of case and number; two texts without words are the same.
    """
    words = [frozenset(_WORD.findall(text.lower())) for text in texts]
    matrix = [[1.0] * len(texts) for _ in texts]
    for i, one in enumerate(words):
        for j, other in enumerate(words[:i]):
            both = len(one & other)
            union = len(one) + len(other) - both
            matrix[i][j] = matrix[j][i] = both / union if union else 1.0
    return matrix


def degrees(matrix: Matrix) -> list[float]:
    """Mean similarity of each sample to all, itself included: 1/n to 1, shape (n,)."""
    return [math.fsum(row) / len(row) for row in matrix]


def degree_uncertainty(matrix: Matrix) -> float:
    """One minus the mean of all similarities, 0 (all alike) to 1 - 1/n (none); at least one."""
    return 1 - math.fsum(degrees(matrix)) / len(matrix)


def eigenvalue_uncertainty(matrix: Matrix) -> float:
    """How many meanings there are, as a number that may be broken: 1 (all alike) to n (none).

    The sum of max(0, 1 - λ) over the eigenvalues λ of the Laplacian I - D^(-1/2) W D^(-1/2). With
    similarities of 0 and 1 only, it counts the groups of those that are alike.
    """
    values, _ = _spectrum(matrix)
    return math.fsum(max(0.0, 1.0 - float(value)) for value in values)


def eccentricities(matrix: Matrix) -> list[float]:
    """Distance of each sample from the centre of all, in the space of clusters, shape (n,).

    The space is that of the Laplacian's eigenvectors with eigenvalues below 0.9. The norm of the
    result is Lin et al.'s uncertainty of the set, their U_Ecc.
    """
    values, vectors = _spectrum(matrix)
    places = vectors[:, values < _NEAR]
    distances = np.linalg.norm(places - places.mean(axis=0), axis=1)
    return [float(distance) for distance in distances]


def _spectrum(matrix: Matrix) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Eigenvalues of the normalised Laplacian, rising, and its eigenvectors as columns."""
    weights = np.asarray(matrix, dtype=float)
    root = 1 / np.sqrt(weights.sum(axis=1))
    laplacian = np.eye(len(weights)) - root[:, None] * weights * root[None, :]
    values, vectors = np.linalg.eigh(laplacian)
    return values, vectors
