"""How much of a model's accuracy a scheme keeps: as published, or as measured on the model itself.

Published figures are of other models and mostly of short answers; long chains of reasoning were no
part of them. What `tts quantize` measures on the model at hand (its `card.json`) counts instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

from tts.errors import ConfigError

CARD = "card.json"


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


def read_cards(folders: Iterable[Path]) -> dict[str, Recovery]:
    """What was measured, by scheme, from the cards of quantised checkpoints.

    Args:
        folders: Checkpoints, or folders of checkpoints.

    Raises:
        ConfigError: A folder holds no card, or a card lacks what it should say.
    """
    found: dict[str, Recovery] = {}
    for folder in folders:
        cards = [folder / CARD] if (folder / CARD).is_file() else sorted(folder.glob(f"*/{CARD}"))
        if not cards:
            raise ConfigError(
                f"--cards: there is no {CARD} in {folder}, nor one folder below.",
                hint="Give the folder of a checkpoint that `tts quantize` has made.",
            )
        found |= dict(_read(card) for card in cards)
    return found


def _read(path: Path) -> tuple[str, Recovery]:
    try:
        card: Mapping[str, Any] = json.loads(path.read_text())
        before, after = float(card["accuracy_before"]), float(card["accuracy_after"])
        scheme = str(card["scheme"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"--cards: {path} cannot be used: {type(error).__name__}: {error}.",
            hint="It must give scheme, accuracy_before and accuracy_after.",
        ) from error
    if not 0 < before <= 1 or not 0 <= after <= 1:
        raise ConfigError(f"--cards: {path}: accuracies must be shares above 0 and at most 1.")
    share = after / before
    return scheme, Recovery(share, share, share, f"measured, {path.parent.name}", measured=True)
