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


def read_cards(folders: Iterable[Path], model: str) -> dict[str, Recovery]:
    """What was measured, by scheme, from the cards of quantised checkpoints.

    A checkpoint that is named counts, whatever it is of, and before those of a folder. Of a folder
    of checkpoints those count that are of this model and whose accuracy was measured.

    Args:
        folders: Checkpoints, or folders of checkpoints.
        model: The full model's name, or its path.

    Raises:
        ConfigError: A folder holds no card that counts; a card cannot be read, or lacks what it
            should say; two are of the same scheme, and neither or both of them are named.
    """
    named: dict[str, _Card] = {}
    beside: dict[str, _Card] = {}
    folders = list(folders)
    for folder in folders:
        if (folder / CARD).is_file():
            _add(named, [_named(folder / CARD)], {})
    for folder in folders:
        if not (folder / CARD).is_file():
            _add(beside, _below(folder, model), named)
    return {scheme: card.recovery() for scheme, card in {**beside, **named}.items()}


def accuracy_measured(checkpoint: Path) -> bool:
    """Whether a checkpoint has a card, and one that says what accuracy it keeps.

    Args:
        checkpoint: Its folder.

    Raises:
        ConfigError: The card cannot be read, or lacks what it should say.
    """
    return (checkpoint / CARD).is_file() and _read(checkpoint / CARD).measured


@dataclass(frozen=True, slots=True)
class _Card:
    """What one card says.

    Attributes:
        path: Its own.
        scheme: Of the checkpoint.
        model: The full one; empty if it does not say.
        before: Accuracy of the full model; None if it was not measured.
        after: The checkpoint's.
    """

    path: Path
    scheme: str
    model: str
    before: float | None
    after: float | None

    @property
    def measured(self) -> bool:
        """Whether accuracy was."""
        return self.before is not None and self.after is not None

    def recovery(self) -> Recovery:
        """The accuracy that was kept; of one that was measured."""
        assert self.before is not None and self.after is not None
        share = self.after / self.before
        where = f"measured, {self.path.parent.name}"
        return Recovery(share, share, share, where, measured=True)


def _add(found: dict[str, _Card], cards: Iterable[_Card], rather: Mapping[str, _Card]) -> None:
    """Add cards by scheme, but for schemes of which there are others that count `rather`."""
    for card in cards:
        if card.scheme in rather:
            continue
        other = found.setdefault(card.scheme, card)
        if other.path.resolve() != card.path.resolve():
            raise ConfigError(
                f"--cards: {other.path.parent} and {card.path.parent} are both in {card.scheme}.",
                hint="Name the one that counts, --cards=CHECKPOINT, and it alone of the two.",
            )


def _named(path: Path) -> _Card:
    card = _read(path)
    if not card.measured:
        raise ConfigError(
            f"--cards: {path} cannot be used: accuracy was not measured.",
            hint="It must give scheme, accuracy_before and accuracy_after.",
        )
    return card


def _below(folder: Path, model: str) -> list[_Card]:
    """The cards of a folder of checkpoints that count."""
    cards = [_read(path) for path in sorted(folder.glob(f"*/{CARD}"))]
    if not cards:
        raise ConfigError(
            f"--cards: there is no {CARD} in {folder}, nor one folder below.",
            hint="Give the folder of a checkpoint that `tts quantize` has made.",
        )
    name = Path(model).name
    counting = [card for card in cards if card.measured and Path(card.model or name).name == name]
    if not counting:
        others = ", ".join(sorted({card.model for card in cards if card.measured}))
        raise ConfigError(
            f"--cards: no card below {folder} holds an accuracy of {name}"
            f"{f' (there are some of {others})' if others else ''}.",
            hint="Make one with `tts quantize`, or name one checkpoint, which counts anyway.",
        )
    return counting


def _read(path: Path) -> _Card:
    try:
        card: Mapping[str, Any] = json.loads(path.read_text())
        before, after = (_share(card[key]) for key in ("accuracy_before", "accuracy_after"))
        found = _Card(path, str(card["scheme"]), str(card.get("model", "")), before, after)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"--cards: {path} cannot be used: {type(error).__name__}: {error}.",
            hint="It must give scheme, accuracy_before and accuracy_after.",
        ) from error
    if found.measured and not (0 < (before or 0) <= 1 and 0 <= (after or 0) <= 1):
        raise ConfigError(f"--cards: {path}: accuracies must be shares above 0 and at most 1.")
    return found


def _share(said: Any) -> float | None:
    return None if said is None else float(said)
