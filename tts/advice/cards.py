"""How much of a model's accuracy its quantised checkpoints keep: the cards of `tts quantize`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tts.advice.accuracy import Recovery
from tts.errors import ConfigError

CARD = "card.json"


def read_cards(folders: Sequence[Path], model: str) -> dict[str, Recovery]:
    """What was measured, by scheme.

    A checkpoint that is named counts, whatever it is of, and before those of a folder. Of a folder
    of checkpoints those count that are of this model and whose accuracy was measured.

    Args:
        folders: Checkpoints, or folders of checkpoints.
        model: The full model's name, or its path.

    Raises:
        ConfigError: A folder holds no card that counts; a card cannot be read, or lacks what it
            should say; two are of one scheme, and neither or both of them are named.
    """
    single = [folder for folder in folders if (folder / CARD).is_file()]
    named = _by_scheme(_named(folder / CARD) for folder in single)
    below = (card for f in folders if f not in single for card in _below(f, model))
    beside = _by_scheme(card for card in below if card.scheme not in named)
    return {
        scheme: Recovery(card.kept, card.kept, card.kept, card.source, measured=True)
        for scheme, card in {**beside, **named}.items()
        if card.kept is not None
    }


def accuracy_measured(checkpoint: Path) -> bool:
    """Whether a checkpoint has a card that says what accuracy it keeps.

    Args:
        checkpoint: Its folder.

    Raises:
        ConfigError: The card cannot be read, or lacks what it should say.
    """
    return (checkpoint / CARD).is_file() and _read(checkpoint / CARD).kept is not None


@dataclass(frozen=True, slots=True)
class _Card:
    """What one card says.

    Attributes:
        path: Its own.
        scheme: Of the checkpoint.
        model: The full one; empty if it does not say.
        kept: Share of the full model's accuracy; None if accuracy was not measured.
    """

    path: Path
    scheme: str
    model: str
    kept: float | None

    def of(self, name: str) -> bool:
        """Whether that is its model, or the checkpoint itself."""
        return name in (Path(self.model or name).name, self.path.parent.name)

    @property
    def source(self) -> str:
        """Where it was measured, in words."""
        return f"measured, {self.path.parent.name}"


def _by_scheme(cards: Iterable[_Card]) -> dict[str, _Card]:
    found: dict[str, _Card] = {}
    for card in cards:
        other = found.setdefault(card.scheme, card)
        if other.path.resolve() != card.path.resolve():
            raise ConfigError(
                f"--cards: {other.path.parent} and {card.path.parent} are both in {card.scheme}.",
                hint="Name the one that counts, --cards=CHECKPOINT, and it alone of the two.",
            )
    return found


def _named(path: Path) -> _Card:
    card = _read(path)
    if card.kept is None:
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
    measured = [card for card in cards if card.kept is not None]
    counting = [card for card in measured if card.of(name)]
    if not counting:
        others = ", ".join(sorted({card.model for card in measured}))
        raise ConfigError(
            f"--cards: no card below {folder} holds an accuracy of {name}"
            f"{f' (there are some of {others})' if others else ''}.",
            hint="Make one with `tts quantize`, or name one checkpoint, which counts anyway.",
        )
    return counting


def _read(path: Path) -> _Card:
    try:
        said = json.loads(path.read_text())
        scheme, model = str(said["scheme"]), str(said.get("model", ""))
        accuracies = said["accuracy_before"], said["accuracy_after"]
        if None in accuracies:
            return _Card(path, scheme, model, None)
        before, after = map(float, accuracies)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"--cards: {path} cannot be used: {type(error).__name__}: {error}.",
            hint="It must give scheme, accuracy_before and accuracy_after.",
        ) from error
    if not 0 < before <= 1 or not 0 <= after <= 1:
        raise ConfigError(f"--cards: {path}: accuracies must be shares above 0 and at most 1.")
    return _Card(path, scheme, model, after / before)
