"""How sure a model was of its own words, token by token and over windows of them.

Pure. Knows no strategy and no vote. A token's confidence is C = -(1/k) (log p_1 + ... + log p_k)
over the k likeliest tokens at its place: the flatter the distribution, the smaller. The p are those
of the model itself, before temperature, nucleus and the like; what backends report is that (vLLM:
`raw_logprobs`).

Source: Fu et al. 2025, "Deep Think with Confidence" (DeepConf).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Literal

from tts.errors import BackendError
from tts.types import Chunk, Segment, Trajectory

Measure = Literal["mean", "tail", "bottom", "lowest"]

FLOOR = -9999.0
"""Log-probability that stands for a probability of 0, as in vLLM's server."""

BOTTOM = 0.1
"""Share of the groups that the score `bottom` is taken over."""

_UNIT = 1 << 40  # sums are of whole numbers: exact, in whatever pieces they are taken


def token_confidence(top: Mapping[int, float], k: int) -> float:
    """The confidence of one token, in nats; of fewer than `k` likeliest tokens, over those."""
    likeliest = top.values() if len(top) <= k else nlargest(k, top.values())
    total = math.fsum(likeliest)
    if total < FLOOR:
        total = math.fsum(max(value, FLOOR) for value in likeliest)
    return -total / len(likeliest)


def token_confidences(piece: Segment | Chunk, k: int) -> Iterator[float]:
    """The confidences of the tokens of a piece; none where nothing is known of them."""
    return (token_confidence(top, k) for top in piece.top_logprobs or ())


def confidences_of(trajectory: Trajectory, k: int) -> list[float]:
    """The confidences of all tokens that the model wrote itself.

    Raises:
        BackendError: The backend has told nothing of the likeliest tokens.
    """
    written = [piece for piece in trajectory.segments() if piece.origin == "model"]
    known = [piece for piece in written if piece.top_logprobs is not None]
    if not known:
        raise BackendError(
            "The backend sent no log-probabilities of the likeliest tokens, though they were asked"
            " for."
        )
    return [value for piece in known for value in token_confidences(piece, k)]


@dataclass(slots=True, eq=False)
class Window:
    """A sliding window over confidences; each further one costs O(1).

    Args:
        size: Tokens, at least 1.
    """

    size: int
    _held: deque[int] = field(default_factory=deque)
    _sum: int = 0

    def add(self, value: float) -> float | None:
        """Take in one more; the mean of the last `size`, or None as long as there are fewer."""
        self._held.append(_whole(value))
        self._sum += self._held[-1]
        if len(self._held) > self.size:
            self._sum -= self._held.popleft()
        return self._sum / (self.size * _UNIT) if len(self._held) == self.size else None

    def lowest(self, values: Iterable[float]) -> float:
        """Take in some more; the lowest of the means that there are after each, inf for none."""
        means = map(self.add, values)
        return min((mean for mean in means if mean is not None), default=math.inf)


def groups(values: Sequence[float], size: int) -> list[float]:
    """Means of all windows of `size` values; of fewer values, the mean of what is there."""
    window = Window(size)
    full = [mean for value in values if (mean := window.add(value)) is not None]
    return full or [_mean(values)]


def score_of(values: Sequence[float], score: Measure, size: int) -> float:
    """The confidence of a whole answer, in nats; 0 for an empty one.

    Args:
        values: Confidences of its tokens.
        score: `mean` over all tokens; `tail`, over the last `size`; `bottom`, the mean of the
            lowest tenth of the windows of `size` tokens (of at least one); `lowest`, the lowest.
        size: Of a window; what is shorter is one window.
    """
    if score == "mean":
        return _mean(values)
    if score == "tail":
        return _mean(values[-size:])
    ordered = sorted(groups(values, size))
    return ordered[0] if score == "lowest" else _mean(ordered[: max(1, int(len(ordered) * BOTTOM))])


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of some values lies, between neighbours by a straight line.

    Args:
        values: At least one.
        share: 0 (the least of them) to 1 (the largest).
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = min(int(place), len(ordered) - 1)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return min(high, low + (high - low) * (place - below))


def _whole(value: float) -> int:
    return round(value * _UNIT)


def _mean(values: Sequence[float]) -> float:
    return sum(map(_whole, values)) / (len(values) * _UNIT) if values else 0.0
