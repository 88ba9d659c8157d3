"""How much of a model's accuracy a scheme keeps: as published, or as measured on the model itself.

Published figures are of other models and mostly of short answers; long chains of reasoning were no
part of them. What `tts quantize` measures on the model at hand counts instead; see `cards`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Recovery:
    """Accuracy with a scheme, as a share of that without.

    Attributes:
        share: The middle; 1 is as good as without.
        low: The least that was seen.
        high: The most.
        source: Where it was seen.
        measured: Whether on the model at hand.
    """

    share: float
    low: float
    high: float
    source: str
    measured: bool = False

    def __mul__(self, other: Recovery) -> Recovery:
        """Both at once, taken to be independent."""
        said = [each.source for each in (self, other) if each.share < 1 or each.measured]
        return Recovery(
            self.share * other.share,
            self.low * other.low,
            self.high * other.high,
            "; ".join(dict.fromkeys(said)) or self.source,
            self.measured and other.share == 1,
        )


WHOLE = Recovery(1.0, 1.0, 1.0, "not quantised")

_KURTIC = "Kurtic et al. 2024, Llama 3.1"
# Llama-3.1-8B: Open LLM Leaderboard v1 and v2, Arena-Hard, HumanEval.
_BF16 = (74.06, 27.62, 25.8, 67.3)
_GPTQ = (73.11, 26.53, 24.0, 67.1)
_AWQ = (72.69, 27.40, 22.3, 63.0)


def _of(scores: Iterable[float]) -> Recovery:
    shares = [score / whole for score, whole in zip(scores, _BF16, strict=True)]
    return Recovery(fmean(shares), min(shares), max(shares), f"{_KURTIC} 8B, four benchmarks")


PUBLISHED: Mapping[str, Recovery] = MappingProxyType(
    {
        "fp32": WHOLE,
        "bf16": WHOLE,
        "fp16": WHOLE,
        "fp8": Recovery(1.0, 1.0, 1.0, f"{_KURTIC}: effectively lossless"),
        "w8a8_int8": Recovery(0.98, 0.97, 0.99, f"{_KURTIC}: 1 to 3% lost"),
        "w4a16_gptq": _of(_GPTQ),
        "w4a16_awq": _of(_AWQ),
    }
)
"""By scheme; of one that is missing nothing is known before it is measured."""

CACHES: Mapping[str, Recovery] = MappingProxyType(
    {
        "auto": WHOLE,
        "fp8": Recovery(0.965, 0.94, 0.99, "vLLM project, The State of FP8 KV-Cache: 94 to 99%"),
    }
)
"""By format of the cache."""
