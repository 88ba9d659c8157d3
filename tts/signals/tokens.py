"""How sure a model was of one token, read from the likeliest tokens at its place.

Pure. Knows neither windows nor answers. With p_1, ..., p_k the probabilities of the k likeliest
tokens, and q the same divided by their sum, in nats:

- confidence, -(1/k) (log p_1 + ... + log p_k): DeepConf (Fu et al. 2025, "Deep Think with
  Confidence"); the flatter the distribution, the smaller;
- self-certainty, -(1/k) (log k q_1 + ... + log k q_k): the divergence KL(even || q), 0 for an even
  q. Kang et al. 2025 ("Scalable Best-of-N Selection for Large Language Models via Self-Certainty")
  sum over the whole vocabulary, which no server sends; this is theirs if those k were all;
- entropy, -(q_1 log q_1 + ... + q_k log q_k): 0 for a certain token, log k for an even q.

The p are those of the model itself, before temperature, nucleus and the like; what backends report
is that (vLLM: `raw_logprobs`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from heapq import nlargest

from tts.types import Chunk, Segment

FLOOR = -9999.0
"""Log-probability that stands for a probability of 0, as in vLLM's server."""


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


def token_self_certainty(top: Mapping[int, float], k: int) -> float:
    """The self-certainty of one token, in nats, at least 0; of fewer than `k` over those."""
    scaled = _scaled(top, k)
    mean = math.fsum(max(value, FLOOR) for value in scaled) / len(scaled)
    return max(0.0, -mean - math.log(len(scaled)))


def token_entropy(top: Mapping[int, float], k: int) -> float:
    """The entropy of one token, in nats, 0 to log k; of fewer than `k` over those."""
    return max(0.0, -math.fsum(math.exp(v) * max(v, FLOOR) for v in _scaled(top, k)))


def _scaled(top: Mapping[int, float], k: int) -> list[float]:
    """The logarithms of the `k` largest probabilities, divided by their sum."""
    likeliest = list(top.values()) if len(top) <= k else nlargest(k, top.values())
    largest = max(likeliest)
    total = largest + math.log(math.fsum(math.exp(value - largest) for value in likeliest))
    return [value - total for value in likeliest]
