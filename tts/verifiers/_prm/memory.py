"""Remembers the score of every step that was read, by the tokens up to it.

An engine that takes a prefix from its cache gives no values for it; they were given when the prefix
was new. Bounded: the least recently used go first.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Sequence

_DIGEST_BYTES = 16


class Memory:
    """Scores by keys of prefixes.

    Args:
        size: Most scores to remember, at least 1; one takes about 200 bytes.
    """

    def __init__(self, size: int = 1 << 16) -> None:
        self._size = size
        self._scores: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, key: bytes) -> float | None:
        """What is remembered under a key, or None."""
        score = self._scores.get(key)
        if score is not None:
            self._scores.move_to_end(key)
        return score

    def put(self, key: bytes, score: float) -> None:
        """Remember a score."""
        self._scores[key] = score
        self._scores.move_to_end(key)
        if len(self._scores) > self._size:
            self._scores.popitem(last=False)


def keys_of(ids: Sequence[int], places: Sequence[int]) -> list[bytes]:
    """A key for the tokens up to and with each of the places, which ascend."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    keys, start = [], 0
    for place in places:
        digest.update(array("q", ids[start : place + 1]).tobytes())
        keys.append(digest.digest())
        start = place + 1
    return keys
