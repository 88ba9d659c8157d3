"""Quantise bundled models in many schemes, and put their cards into one table.

Run: `python -m experiments.quantisation [--model NAME ...] [--scheme NAME ...] [WORD ...]`, some
four minutes a checkpoint on two cores. What is there already is not made again, so an interrupted
run is continued by the same command. Other words are those of `tts quantize`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tts.cli import main as tts
from tts.quantize.card import Card

MODELS = ("mini-reasoner", "mini-reasoner-l")
SCHEMES = (
    "w8a16_int8",
    "w8a8_int8",
    "fp8",
    "w4a16_gptq",
    "w4a16_awq",
    "nvfp4a16",
    "w4a8_int8",
)
_FOLDER = Path("outputs/quantised")
_HEAD = (
    "| model | scheme | bytes | accuracy | difference in points | inferior by no more than 2? |"
    " divergence, nats a token |\n| --- | --- | --- | --- | --- | --- | --- |"
)


def make(models: Sequence[str], schemes: Sequence[str], words: Sequence[str]) -> list[Path]:
    """Make and measure checkpoints.

    Args:
        models: Their names.
        schemes: The same.
        words: Further ones of `tts quantize`.

    Returns:
        The folders of those that could be made.
    """
    found = []
    for model in models:
        for scheme in schemes:
            folder = _FOLDER / f"{model}-{scheme}"
            asked = ["quantize", f"model={model}", f"scheme={scheme}", f"output={folder}", *words]
            if tts(asked) == 0:
                found.append(folder)
    return found


def table(cards: Sequence[Card]) -> str:
    """Cards as a table in Markdown, a line each."""
    return "\n".join([_HEAD, *map(_row, cards)])


def _row(card: Card) -> str:
    return f"| {' | '.join(_cells(card))} |"


def _cells(card: Card) -> Iterator[str]:
    yield card.model
    yield f"`{card.scheme}`{', weights of 7 bits' if card.narrow else ''}"
    yield f"{card.bytes_before:,} → {card.bytes_after:,}"
    if card.verdict is None:
        yield from ("not measured", "", "", "")
        return
    assert card.interval and card.divergence_interval and card.difference is not None
    low, high = card.interval
    yield f"{card.accuracy_before:.1%} → {card.accuracy_after:.1%}"
    yield f"{100 * card.difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    yield {"met": "yes", "not met": "no", "undecided": "undecided"}[card.verdict]
    low, high = card.divergence_interval
    yield f"{card.divergence:.4f} [{low:.4f}, {high:.4f}]"


def main(arguments: Sequence[str]) -> int:
    """Make, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", metavar="NAME")
    parser.add_argument("--scheme", action="append", metavar="NAME")
    options, words = parser.parse_known_args(list(arguments))
    wanted = options.model or MODELS, options.scheme or SCHEMES
    folders = make(*wanted, words)
    cards = [Card.model_validate_json((each / "card.json").read_text()) for each in folders]
    print(table(cards))
    return 0 if len(folders) == len(wanted[0]) * len(wanted[1]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
