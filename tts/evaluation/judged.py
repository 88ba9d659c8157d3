"""Answers with a verifier's scores, and how well the scores part right from wrong.

Pure. Knows numbers, not where they come from. Where problems count with weights, all answers of a
problem do: so a bootstrap resamples whole problems. Sources: Hanley & McNeil 1982 (the area under
the ROC curve is the chance that a right answer scores higher than a wrong one, ties half); Youden
1950 (the threshold with the largest difference of the two rates).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tts.errors import ConfigError
from tts.evaluation.estimators import Pool

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Judged:
    """All answers of some problems, with scores.

    Attributes:
        problems: Ids; each has at least one answer.
        owner: Of each answer the place of its problem; shape (n,), n at least 1.
        raws: Of each answer the score, higher is better; shape (n,).
        right: Of each answer 1 if it is right, else 0; shape (n,).
        levels: Of each problem a level that its task gives it, or an empty text.
        silent: Samples without an answer; they are in no figure.
        probable: Whether the scores are probabilities.
    """

    problems: tuple[str, ...]
    owner: Ints
    raws: Floats
    right: Floats
    levels: tuple[str, ...] = ()
    silent: int = 0
    probable: bool = False

    @classmethod
    def of(
        cls, pools: Mapping[str, Pool], *, probable: bool, levels: Mapping[str, str] | None = None
    ) -> Self:
        """The answers of some pools.

        Args:
            pools: By problem, with scores.
            probable: Whether the scores are probabilities.
            levels: By problem, where there are any.

        Raises:
            ConfigError: There is no answer at all, or a problem lacks scores.
        """
        names: list[str] = []
        rows: list[tuple[int, float, float]] = []
        silent = 0
        for name, pool in pools.items():
            if not pool.scores:
                raise ConfigError(f"The samples of problem {name!r} have no scores.")
            told = [
                (len(names), score, float(mark))
                for key, mark, score in zip(pool.keys, pool.correct, pool.scores, strict=True)
                if key is not None
            ]
            silent += len(pool.keys) - len(told)
            rows.extend(told)
            names.extend([name] if told else [])
        if not rows:
            raise ConfigError("No sample holds an answer.", hint="Look at them with `tts show`.")
        owner, raws, right = zip(*rows, strict=True)
        return cls(
            tuple(names),
            np.array(owner, dtype=np.intp),
            np.array(raws, dtype=np.float64),
            np.array(right, dtype=np.float64),
            tuple((levels or {}).get(name, "") for name in names),
            silent,
            probable,
        )

    def of_problems(self, kept: NDArray[np.bool_]) -> Judged:
        """Those of some problems; shape of `kept`: (problems,), at least one true."""
        mine = kept[self.owner]
        places = np.cumsum(kept) - 1
        return Judged(
            tuple(name for name, keep in zip(self.problems, kept, strict=True) if keep),
            places[self.owner[mine]],
            self.raws[mine],
            self.right[mine],
            tuple(name for name, keep in zip(self.levels, kept, strict=True) if keep),
            0,
            self.probable,
        )

    def rescaled(self, chances: Floats) -> Judged:
        """The same answers with other scores, which are probabilities; shape (n,)."""
        about = (self.problems, self.owner, chances, self.right, self.levels, self.silent, True)
        return Judged(*about)

    @cached_property
    def distinct(self) -> tuple[Floats, Ints]:
        """The different scores, rising, and of each answer the place of its own among them."""
        values, places = np.unique(self.raws, return_inverse=True)
        return values, places

    @cached_property
    def accuracies(self) -> Floats:
        """Of each problem the share of its answers that are right; shape (problems,)."""
        counts = np.bincount(self.owner)
        shares: Floats = np.bincount(self.owner, self.right) / counts
        return shares

    def auc(self, weights: Floats | None = None) -> float:
        """Chance that a right answer scores higher than a wrong one of any problem, ties half.

        Args:
            weights: Of the problems, shape (problems,); 1 by default.

        Returns:
            NaN where all answers are right, or all wrong.
        """
        each = np.ones(len(self.raws)) if weights is None else weights[self.owner]
        values, places = self.distinct
        hits = _sums(places, each * self.right, len(values))
        misses = _sums(places, each * (1 - self.right), len(values))
        return _area(hits, misses)

    def auc_by_problem(self) -> dict[str, float]:
        """The same within each problem that has both right and wrong answers."""
        found = {}
        mixed = np.flatnonzero((self.accuracies > 0) & (self.accuracies < 1))
        order = np.argsort(self.owner, kind="stable")
        starts = np.searchsorted(self.owner[order], np.arange(len(self.problems) + 1))
        for place in mixed:
            mine = order[starts[place] : starts[place + 1]]
            values, places = np.unique(self.raws[mine], return_inverse=True)
            right, size = self.right[mine], len(values)
            hits, misses = _sums(places, right, size), _sums(places, 1 - right, size)
            found[self.problems[place]] = _area(hits, misses)
        return found

    def roc(self) -> tuple[Floats, Floats, Floats]:
        """Rates at every threshold, from accepting nothing to accepting all.

        Returns:
            Thresholds (falling, the first infinite), false-positive and true-positive rates, each
            of shape (different scores + 1,). An answer is accepted if its score is at least the
            threshold. NaN where there are no answers of a kind.
        """
        values, places = self.distinct
        hits = _sums(places, self.right, len(values))[::-1]
        misses = _sums(places, 1 - self.right, len(values))[::-1]
        thresholds = np.concatenate([[math.inf], values[::-1]])
        return thresholds, _shares(misses), _shares(hits)

    def youden(self) -> float:
        """The threshold with the largest true-positive minus false-positive rate; the highest such.

        Raises:
            ConfigError: All answers are right, or all wrong.
        """
        if not 0 < self.right.sum() < len(self.right):
            raise ConfigError(
                "All answers are right, or all are wrong: no threshold parts them.",
                hint="Take more problems, or harder ones; or give --threshold.",
            )
        thresholds, false, true = self.roc()
        return float(thresholds[1:][np.argmax((true - false)[1:])])

    def counts(self, threshold: float) -> Floats:
        """Of each problem the right answers, those of them accepted, the wrong, and accepted.

        Returns:
            Shape (problems, 4).
        """
        accepted = (self.raws >= threshold).astype(np.float64)
        wrong = 1 - self.right
        kinds = (self.right, self.right * accepted, wrong, wrong * accepted)
        size = len(self.problems)
        return np.column_stack([_sums(self.owner, kind, size) for kind in kinds])


def _sums(places: Ints, weights: Floats, size: int) -> Floats:
    """The sum of the weights at each of `size` places."""
    return np.bincount(places, weights, minlength=size).astype(np.float64)


def _area(hits: Floats, misses: Floats) -> float:
    """Area under the curve from the numbers of right and wrong answers at each rising score."""
    below = np.cumsum(misses) - misses
    pairs = hits.sum() * misses.sum()
    return float((hits @ (below + misses / 2)) / pairs) if pairs else math.nan


def _shares(counts: Floats) -> Floats:
    total = counts.sum()
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    shares: Floats = sums / total if total else np.full(len(sums), math.nan)
    return shares
