"""Seeds from names: the order in which things complete changes no draw.

A seed is the hash of (run seed, problem, repeat, path of the node, child number), never a counter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable

SEED_BITS = 48  # every engine's generator takes it, and 2**24 draws collide with chance 1/2


def derive(seed: int, *names: Hashable) -> int:
    """A seed of 48 bits for `names` under a run's seed; names are told apart by their `repr`."""
    data = "\x1f".join([str(seed), *map(repr, names)]).encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=SEED_BITS // 8).digest(), "big")
