"""The threshold with which a large model writes a wanted share of the steps of a chain.

Pure: takes what was measured of each step, by problem, and gives the threshold. Steps of one
problem are alike, so intervals are percentiles over problems drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tts.errors import ConfigError
from tts.evaluation.statistics import Interval
from tts.seeds import derive

Floats = NDArray[np.float64]
_RESAMPLES = 1000


@dataclass(frozen=True)
class Calibration:
    """A threshold, and how well it is known.

    Attributes:
        threshold: With it the share of steps is nearest to the wanted one.
        low: Lower end of its 95% interval.
        high: Upper end.
        share: Of the steps that were measured, those that the large model writes with it.
        n_problems: Problems of which a step was measured.
        n_steps: Steps.
    """

    threshold: float
    low: float
    high: float
    share: Interval
    n_problems: int
    n_steps: int


def calibrate(
    measured: Mapping[str, Sequence[float]], wanted: float, *, rising: bool, seed: int = 0
) -> Calibration:
    """Find the threshold for a share of the large model.

    Args:
        measured: What was measured of each step, by problem; finite.
        wanted: Share of steps that the large model is to write, 0 to 1.
        rising: Whether it writes where a value reaches the threshold, or where it is below it.
        seed: Of the resampling.

    Raises:
        ConfigError: The share lies outside [0, 1], or nothing was measured.
    """
    if not 0 <= wanted <= 1:
        raise ConfigError(f"The share is {wanted:g}; it must lie in [0, 1].", hint="Say 0.3.")
    known = [np.asarray(values, dtype=float) for values in measured.values() if len(values)]
    if not known:
        raise ConfigError(
            "No step was measured: the draft model has written none.",
            hint="Lower strategy.first_n, or look at what it writes (tts run, tts show).",
        )
    values = np.concatenate(known)
    owner = np.repeat(np.arange(len(known)), [len(each) for each in known])
    order = np.argsort(values, kind="stable")
    values, owner = values[order], owner[order]
    thresholds = _candidates(values)
    below = np.searchsorted(values, thresholds, side="left")  # values under each threshold

    def shares(weights: Floats) -> Floats:
        """For each threshold the share of the large model, if problems count so often."""
        sums = np.concatenate([[0.0], np.cumsum(weights[owner])])
        under: Floats = sums[below] / sums[-1]
        return 1 - under if rising else under

    rng = np.random.default_rng(derive(seed, "calibrate"))
    draws = rng.multinomial(len(known), np.full(len(known), 1 / len(known)), _RESAMPLES)
    here = shares(np.ones(len(known)))
    best = _nearest(here, wanted)
    found = []  # threshold, and share with the best one, of each resample
    for draw in draws:
        there = shares(draw.astype(float))
        found.append((thresholds[_nearest(there, wanted)], there[best]))
    (low, bottom), (high, top) = np.percentile(found, [2.5, 97.5], axis=0)
    return Calibration(
        threshold=float(thresholds[best]),
        low=float(low),
        high=float(high),
        share=Interval(float(here[best]), float(bottom), float(top)),
        n_problems=len(known),
        n_steps=len(values),
    )


def _candidates(values: Floats) -> Floats:
    """Thresholds that part sorted values in all ways, as they are written: with six digits."""
    distinct = np.unique(values)
    middles = (distinct[1:] + distinct[:-1]) / 2
    lowest = 0.0 if distinct[0] >= 0 else distinct[0] - 1
    found = [lowest, *middles, distinct[-1] + 1]
    return np.asarray([float(f"{value:.6g}") for value in found])


def _nearest(shares: Floats, wanted: float) -> int:
    return int(np.argmin(np.abs(shares - wanted)))
