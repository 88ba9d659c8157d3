"""From times to speeds: what a machine's kernels reach, and what the engine takes besides. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tts.advice.plans import Loaded
from tts.advice.prediction import predict
from tts.advice.workload import Workload
from tts.engine.kernels import BYTES, Kernel
from tts.engine.machine import Efficiency, Feed, Machine

_ERROR = 0.05  # of a time, what is taken for noise
_DOUBT = 0.2  # of the two factors, which few runs tell from overheads: kernels are near their speed
_MOST = 1.25  # of the kernels' speed: more would be a disturbed measurement
_LEAST = 1e-14  # seconds for a weight


@dataclass(frozen=True, slots=True)
class Point:
    """A run of the engine: answers that start together, all of one length.

    Attributes:
        model: Under a plan.
        machine: With the speeds of its matrices.
        workload: What was asked.
        seconds: From the first request to the last token.
    """

    model: Loaded
    machine: Machine
    workload: Workload
    seconds: float

    def predicted(self, efficiency: Efficiency) -> float:
        """Seconds that are predicted."""
        return predict(self.model, self.machine, self.workload, efficiency).cycle.total


def speeds(kernel: Kernel, arithmetic: str, overlaps: bool) -> tuple[float, Feed]:
    """Peak and feed that explain the times of a kernel.

    Where reading and computing take turns, a time is a constant for each weight and another for
    each weight and row, fitted by least relative squares to all but the single row. Where they
    overlap, many rows tell the peak, and few rows the feed.

    Args:
        kernel: Measured with one row and at least two other numbers of rows.
        arithmetic: Its type.
        overlaps: Whether the machine reads while it computes.

    Returns:
        Operations a second, and bytes of weights a second.
    """
    size = BYTES[arithmetic]
    each = {rows: seconds / kernel.weights for rows, seconds in kernel.seconds.items()}
    several = {rows: seconds for rows, seconds in each.items() if rows > 1}
    few, many = min(several), max(several)
    if overlaps:
        peak = 2 * many / several[many]
        return peak, Feed(size / each[1], size / several[few])
    fixed, by_row = _line(several)
    single = max(each[1] - by_row, _LEAST)
    return 2 / by_row, Feed(size / single, size / fixed)


def _line(times: dict[int, float]) -> tuple[float, float]:
    """Constant and slope, neither below nothing, of times that grow with rows."""
    import numpy as np
    from scipy.optimize import nnls

    rows, seconds = np.array(list(times)), np.array(list(times.values()))
    relative = np.stack([1 / seconds, rows / seconds], axis=1)
    scale = relative.max()
    (fixed, by_row), _ = nnls(relative / scale, np.ones(len(rows)) / scale)
    return max(float(fixed), _LEAST), max(float(by_row), _LEAST)


def fit(points: Sequence[Point]) -> Efficiency:
    """What the engine makes of the machine, by runs of at least two models at several batches.

    Least squares of the relative errors. The two factors are held near 1, the kernels' own speed,
    as far as the runs do not say otherwise: overheads and slow kernels look alike in few runs.

    Args:
        points: Runs.
    """
    import numpy as np
    from scipy.optimize import least_squares

    def residuals(values: np.ndarray) -> list[float]:
        found = _efficiency(values.tolist())
        errors = [(each.predicted(found) / each.seconds - 1) / _ERROR for each in points]
        return [*errors, *(values[:2] / _DOUBT)]

    start = [0.0, 0.0, 2.0, 0.5, 0.05, 0.5]
    low, high = [math.log(0.2)] * 2 + [0.0] * 4, [math.log(_MOST)] * 2 + [math.inf] * 4
    solved = least_squares(
        residuals, start, bounds=(low, high), x_scale=[0.1, 0.1, 1, 0.2, 0.05, 1]
    )
    return _efficiency(solved.x.tolist())


def _efficiency(values: Sequence[float]) -> Efficiency:
    """Logarithms of the factors, and milliseconds."""
    factors, overheads = values[:2], values[2:]
    return Efficiency(*(math.exp(v) for v in factors), *(v / 1000 for v in overheads))
