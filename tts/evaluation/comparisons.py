"""Several arms against one reference: p-values and intervals that stay true together.

Knows outcomes by problem. With m comparisons at 5% each, some look significant by luck alone; what
stands here holds the chance of any such error down (family-wise), or the share of false ones among
the significant ones (false discovery rate).
Sources: Holm 1979, "A simple sequentially rejective multiple test procedure"; Benjamini & Hochberg
1995, "Controlling the false discovery rate"; Westfall & Young 1993, "Resampling-Based Multiple
Testing" (max-t).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tts.errors import ConfigError
from tts.evaluation.statistics import Comparison, Interval, Outcomes, compare, differences

Floats = NDArray[np.float64]
Correction = Literal["holm", "benjamini-hochberg"]

_CHUNK = 500  # resamples held in memory at a time


@dataclass(frozen=True, slots=True)
class Corrected:
    """One comparison of several.

    Attributes:
        comparison: By itself; its interval and p-value know nothing of the others.
        p_value: Adjusted; below 0.05 it is significant at 5% in spite of the others.
        simultaneous: All intervals of the family hold together as often as the level says.
    """

    comparison: Comparison
    p_value: float
    simultaneous: Interval


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that hold the family-wise error, whatever the dependence.

    Args:
        p_values: 0 to 1, in any order; the result keeps it.
    """
    m, order = len(p_values), np.argsort(p_values, kind="stable")
    factors = np.arange(m, 0, -1)
    adjusted = np.maximum.accumulate(np.array(p_values, dtype=np.float64)[order] * factors)
    return _restored(adjusted, order)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that hold the false discovery rate, if the tests do not lean against.

    Args:
        p_values: 0 to 1, in any order; the result keeps it.
    """
    m, order = len(p_values), np.argsort(p_values, kind="stable")
    raw = np.array(p_values, dtype=np.float64)[order] * m / np.arange(1, m + 1)
    return _restored(np.minimum.accumulate(raw[::-1])[::-1], order)


def compare_all(
    arms: Mapping[str, Outcomes],
    reference: Outcomes,
    *,
    correction: Correction = "holm",
    level: float = 0.95,
) -> dict[str, Corrected]:
    """Compare arms with one reference, corrected for their number.

    The simultaneous intervals are Bonferroni's: each at one minus an m-th of the error. They are
    exact like those of `compare`, and the arms need not have run on the same problems.

    Args:
        arms: Outcomes by arm.
        reference: Outcomes of what all are compared with.
        correction: Of the p-values.
        level: Coverage, above 0 and below 1.

    Returns:
        By arm; one that shares no problem with the reference is left out, and counts for nothing.
    """
    single = {label: compare(arm, reference, level=level) for label, arm in arms.items()}
    found = {label: comparison for label, comparison in single.items() if comparison}
    adjust = {"holm": holm, "benjamini-hochberg": benjamini_hochberg}[correction]
    adjusted = adjust([comparison.p_value for comparison in found.values()])
    family = 1 - (1 - level) / max(1, len(found))
    corrected = {}
    for (label, comparison), p_value in zip(found.items(), adjusted, strict=True):
        wide = compare(arms[label], reference, level=family)
        assert wide is not None
        corrected[label] = Corrected(comparison, p_value, wide.difference)
    return corrected


def max_t(
    arms: Mapping[str, Outcomes],
    reference: Outcomes,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Simultaneous intervals of the differences that know how the arms lean together.

    All arms are resampled on the same problems; the critical value is the quantile of the largest
    distance from its mean, in standard errors, of any arm. Narrower than Bonferroni's where the
    arms are alike, as arms that share a reference are.

    Args:
        arms: Outcomes by arm.
        reference: Outcomes of what all are compared with; problems in all of them count.
        level: Coverage of all intervals together, above 0 and below 1.
        resamples: Of the problems.
        seed: Of the resampling.

    Raises:
        ConfigError: Fewer than two problems are shared by all, or an arm differs from the
            reference by the same on every problem, so that it has no standard error.
    """
    paired = {label: differences(arm, reference) for label, arm in arms.items()}
    shared = [p for p in reference if all(p in found for found in paired.values())]
    if not paired or len(shared) < 2:
        raise ConfigError("arms: they share fewer than two problems with the reference.")
    table = np.array([[found[p] for p in shared] for found in paired.values()])
    means, errors = table.mean(1), table.std(1) / len(shared) ** 0.5
    flat = [label for label, error in zip(paired, errors, strict=True) if error < 1e-12]
    if flat:
        raise ConfigError(
            f"arms: {flat[0]} differs from the reference by the same on every problem.",
            hint="Use the Bonferroni intervals of `compare_all`.",
        )
    largest = _largest(table, means, errors, resamples, np.random.default_rng(seed))
    reach = float(np.quantile(largest, level)) * errors
    return {
        label: Interval(float(mean), max(-1.0, float(mean - r)), min(1.0, float(mean + r)))
        for label, mean, r in zip(paired, means, reach, strict=True)
    }


def _largest(
    table: Floats, means: Floats, errors: Floats, resamples: int, rng: np.random.Generator
) -> Floats:
    """The largest distance of an arm's mean in each resample; table of shape (arms, problems)."""
    n, found = table.shape[1], []
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=size) / n
        found.append((np.abs(weights @ table.T - means) / errors).max(1))
    return np.concatenate(found)


def _restored(ordered: Floats, order: NDArray[np.intp]) -> list[float]:
    """Adjusted values back in the order of the raw ones, at most 1."""
    values = np.empty_like(ordered)
    values[order] = np.minimum(ordered, 1.0)
    return [float(value) for value in values]
